/**
 * Errors as problem details (RFC 9457), so that a script finds status, title and detail in one place, whatever went
 * wrong.
 */
import { STATUS_CODES } from "node:http";
import { masked } from "../core/text/mask.ts";
import { printable } from "../core/text/terminal.ts";

/**
 * `detail`: one sentence that says what was wrong and the remedy; never a secret, nor the words of an internal error.
 */
export function problem(
  status: number,
  detail: string,
  more: { headers?: Readonly<Record<string, string>>; members?: Readonly<Record<string, unknown>> } = {},
): Response {
  const body = {
    type: "about:blank",
    title: STATUS_CODES[status] ?? "Error",
    status,
    detail: masked(detail),
    ...more.members,
  };
  return new Response(`${printable(JSON.stringify(body))}\n`, {
    status,
    headers: { "content-type": "application/problem+json", ...more.headers },
  });
}
