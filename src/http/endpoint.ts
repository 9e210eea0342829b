/**
 * The shape of an endpoint: one row, from which follow its route, the checks of a request, its line in the audit log,
 * and its part of the OpenAPI document.
 *
 * Rejected alternative: @hono/zod-openapi, because it also makes a document from routes, but knows neither audit nor
 * streams, and words its errors in its own way. Here zod checks and zod writes the JSON Schema, and the rest is this
 * file.
 */
import { parseToPrint } from "../core/text/json-digits.ts";
import { whyOf } from "../core/text/zod-words.ts";
import { isLevel } from "../core/topic-level.ts";
import type { Context, Hono } from "hono";
import type { z } from "zod";
import { explain } from "../core/log/log.ts";
import { printable } from "../core/text/terminal.ts";
import type { AuditLog } from "./audit.ts";
import { RegistryError } from "../admin/registry-error.ts";
import type { HttpEnv } from "./guard.ts";
import { problem } from "./problem.ts";

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
type Details = Readonly<Record<string, unknown>>;

/** A request that was parsed and checked. */
export interface Asked<Q, B> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Q;
  readonly body: B;
  /** The peer's address. */
  readonly client: string;
  /** For bodies that are streams. */
  readonly request: Request;
  /**
   * Adds details to the request's line in the audit log, besides the names in the path. Never a token, nor its hash. Outside /admin there
   * is such a line only if this is called.
   */
  note(details: Details): void;
}

/** The answer on success. */
export interface AnswerSpec<A> {
  readonly status?: 200 | 201;
  readonly help: string;
  /** The schema of a JSON answer; without it, `media` names what `handle` makes itself. */
  readonly schema?: z.ZodType<A>;
  readonly media?: readonly string[];
}

interface Spec<Q, B, A> {
  readonly method: Method;
  /** In OpenAPI's form: /admin/devices/{tenant}/{device}. */
  readonly path: string;
  /** Its name in the document and in the audit log. */
  readonly id: string;
  readonly summary: string;
  /** For READ_TOKEN as well, and nothing for the audit log. Absent: under /admin for ADMIN_TOKEN, else for everybody. */
  readonly access?: "read";
  readonly query?: z.ZodType<Q>;
  readonly body?: z.ZodType<B>;
  /** Media types of a body that `handle` reads itself. */
  readonly stream?: readonly string[];
  readonly answer: AnswerSpec<A>;
  /** Statuses of the problems that it may answer with, besides those of any endpoint. */
  readonly problems?: readonly number[];
  handle(asked: Asked<Q, B>): A | Response | Promise<A | Response>;
}

export type Endpoint = Omit<Spec<unknown, unknown, unknown>, "handle"> & {
  respond(c: Context<HttpEnv>, note: (details: Details) => void): Promise<Response>;
};

export function endpoint<A, Q = undefined, B = undefined>(spec: Spec<Q, B, A>): Endpoint {
  return {
    ...spec,
    async respond(c, note) {
      const params = readParams(c);
      if (params === undefined) {
        return problem(
          400,
          "Tenant and device are each one level of an MQTT topic, percent-encoded, without / + #.",
        );
      }
      const { pretty, ...asked } = c.req.query();
      const query = read(spec.query, asked);
      if (!query.ok) return problem(400, `Query: ${query.why}.`);
      if ((spec.body ?? spec.stream) !== undefined && isPacked(c.req.header("content-encoding")))
        return problem(415, "A body is taken as it is: leave Content-Encoding out.");
      const body = await readBody(spec.body, c.req.raw);
      if (body instanceof Response) return body;
      const given = {
        params,
        query: query.value,
        body: body.value,
        client: c.env.clientAddress,
        request: c.req.raw,
        note,
      };
      const answer = await spec.handle(given);
      if (answer instanceof Response) return answer;
      const json = printable(JSON.stringify(answer, null, pretty === undefined ? 0 : 2));
      // The newline is for terminals, whose prompt would otherwise stand behind the answer.
      return c.body(`${json}\n`, spec.answer.status ?? 200, { "content-type": "application/json" });
    },
  };
}

/**
 * Adds the routes to the app. A request under /admin that may change something leaves a line in the audit log, however it ended. Elsewhere
 * (/login) strangers may ask, who could push all other lines out of it: only what its handler notes, because it changed something.
 */
export function mount(app: Hono<HttpEnv>, endpoints: readonly Endpoint[], audit: AuditLog): void {
  for (const { method, path, id, access, respond } of endpoints) {
    // An id is a number: else GET of …/replay, which is only posted to, would ask for the row of that name.
    const route = path.replace(/\{(\w+)\}/g, (_, name) => (name === "id" ? ":id{[0-9]+}" : `:${name}`));
    app.on(method, route, async (c) => {
      if (method === "GET" || access === "read") return respond(c, () => {});
      let details: Details | undefined = path.startsWith("/admin/") ? {} : undefined;
      const target = c.req.param() as Details;
      const written = (status: number, more: Details = {}) => {
        if (details === undefined) return;
        audit({ from: c.env.clientAddress, action: id, ...target, ...details, status, ...more });
      };
      try {
        const response = await respond(c, (more) => {
          details = { ...details, ...more };
        });
        written(response.status);
        return response;
      } catch (error) {
        written(error instanceof RegistryError ? error.status : 500, { error: explain(error) });
        throw error;
      }
    });
  }
}

type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string };

function read<T>(schema: z.ZodType<T> | undefined, given: unknown): Read<T> {
  // Without a schema T is undefined: an endpoint that declares no query or body is given none.
  if (schema === undefined) return { ok: true, value: undefined as T };
  const parsed = schema.safeParse(given);
  return parsed.success ? { ok: true, value: parsed.data } : { ok: false, why: whyOf(parsed.error) };
}

function isPacked(encoding: string | undefined): boolean {
  return !["", "identity"].includes(encoding?.trim().toLowerCase() ?? "");
}

async function readBody<T>(
  schema: z.ZodType<T> | undefined,
  request: Request,
): Promise<{ value: T } | Response> {
  let given: unknown;
  if (schema !== undefined) {
    try {
      // text() would mend what is not UTF-8, so that a device had a name that nobody gave it.
      const text = new TextDecoder("utf-8", { fatal: true }).decode(await request.arrayBuffer());
      given = text === "" ? {} : parseToPrint(text);
    } catch {
      return problem(400, "The body is not JSON in UTF-8.");
    }
  }
  const body = read(schema, given);
  return body.ok ? body : problem(422, `Body: ${body.why}.`);
}

/**
 * Returns undefined if one cannot be an id (MQTT 5 §4.7: one level of a topic name) or the path cannot be decoded.
 */
function readParams(c: Context<HttpEnv>): Readonly<Record<string, string>> | undefined {
  try {
    decodeURIComponent(new URL(c.req.url).pathname);
  } catch {
    return undefined;
  }
  const params = c.req.param() as Readonly<Record<string, string>>;
  return Object.values(params).every(isLevel) ? params : undefined;
}
