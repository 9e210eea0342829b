/**
 * / : the page, bundled at build time and served from memory, so that it works on a site without internet access.
 *
 * A macro makes Bun bundle src/page when this file is bundled (or run from source). Rejected alternative: a build
 * step of its own, because its result could be forgotten. Nothing is inline, so the policy permits only our own
 * script and style.
 */
import { endpoint, type Endpoint } from "./endpoint.ts";
import { bundled } from "../page/bundle.ts" with { type: "macro" };

const { html, script, style } = bundled();

export const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const pageEndpoints: readonly Endpoint[] = [
  file("/", "page.html", "The page for people", "text/html", html),
  file("/page.js", "page.script", "Its script", "text/javascript", script),
  file("/page.css", "page.style", "Its style", "text/css", style),
];

function file(path: string, id: string, summary: string, media: string, text: string): Endpoint {
  const headers = { "content-type": `${media}; charset=utf-8` };
  return endpoint({
    method: "GET",
    path,
    id,
    summary,
    answer: { help: "It loads nothing from elsewhere.", media: [media] },
    handle: () => new Response(text, { headers }),
  });
}
