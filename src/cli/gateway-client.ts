/**
 * A client for a running gateway: its /admin over HTTP, behind the same interfaces as the database, so that a command
 * is written once. The administrator's token comes from the environment or a file, never from an argument, which `ps`
 * would show.
 */
import { readFileSync } from "node:fs";
import { thisHost } from "../config/host.ts";
import { readTable } from "../config/read.ts";
import { z } from "zod";
import { isLoopback } from "../core/net/listen.ts";
import { importResult } from "../admin/bulk/import.ts";
import { toColumns } from "../core/columns.ts";
import { parseToPrint } from "../core/text/json-digits.ts";
import { deviceColumns, deviceOf } from "../admin/device-columns.ts";
import {
  deviceKey,
  type DeviceFilter,
  type DeviceId,
  type DeviceStore,
  type NewDevice,
} from "../core/device.ts";
import { httpSettings } from "../http/server.ts";
import { settingSchema, type SettingStore } from "../admin/setting-store.ts";
import { ConfigurationError, type Context, UsageError } from "./command.ts";
import { jsonLine, sayWhere } from "./report.ts";

export interface GatewayClient {
  /**
   * Sends a request. @param none the status of a problem that is an answer: there is none of what is asked for, or one already
   * @returns the answer's JSON; undefined if the problem's status is `none`
   * @throws with the problem's own words
   */
  request(method: string, path: string, body?: unknown, none?: number): Promise<unknown>;
  /** Server-Sent Events until the context is interrupted. @throws with the problem's own words */
  events(path: string): AsyncGenerator<{ readonly event: string; readonly data: unknown }>;
}

/** Of what the gateway may have to ask a database for. */
const answerMsMax = 60_000;
/**
 * A stream that says nothing from one look to the third after it is dead: the gateway sends a sign of life every ten seconds. Looks are
 * counted, and no time: once this process goes on after a pause, what came meanwhile is still to be read.
 */
const [lookEveryMs, muteLooks] = [10_000, 3];
export const notFound = 404;

export function gatewayClient(
  context: Context,
  url: string,
  tokenFile: string | undefined,
  answerMs = answerMsMax,
): GatewayClient {
  const base = baseOf(url);
  const token = tokenFile === undefined ? configuredToken(context) : tokenIn(tokenFile);
  if (token !== undefined && base.protocol === "http:" && !isLoopback(base.hostname))
    context.stderr(`warning: ${base.origin} is not https: others can read the token on its way\n`);
  sayWhere(context, `the gateway at ${base.origin}`);
  const authorization = token === undefined ? {} : { authorization: sendable(`Bearer ${token}`, tokenFile) };

  const interrupted = () => new Error(`interrupted before the gateway at ${base.origin} answered`);

  async function send(path: string, given: RequestInit): Promise<Response> {
    // A token is for this gateway, and not for where it may point to.
    const asked = fetch(new URL(path, base), { ...given, redirect: "manual" });
    const response = await asked.catch((cause: unknown) => {
      if (context.signal.aborted) throw interrupted();
      throw new Error(
        `no gateway answers at ${base.origin} (does \`sluice run\`? HTTP_LISTEN or --gateway name another)`,
        { cause },
      );
    });
    const to = response.headers.get("location");
    if (to === null || response.ok) return response;
    throw new Error(
      `what answers at ${base.origin} is no gateway, but points to ${to} (HTTP_LISTEN or --gateway name another)`,
    );
  }

  async function request(method: string, path: string, body?: unknown, none?: number): Promise<unknown> {
    const isText = typeof body === "string";
    const response = await send(path, {
      method,
      headers: { ...authorization, "content-type": isText ? "application/x-ndjson" : "application/json" },
      ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
      signal: AbortSignal.any([context.signal, AbortSignal.timeout(answerMs)]),
    });
    if (!response.ok) return refusal(response, none);
    const text = response.text();
    return text.then(parseToPrint).catch((cause: unknown) => {
      if (context.signal.aborted) throw interrupted();
      throw new Error(
        `what answers at ${base.origin} is no gateway (HTTP_LISTEN or --gateway name another)`,
        {
          cause,
        },
      );
    });
  }

  /** @returns undefined for a problem of status `none` */
  async function refusal(response: Response, none?: number): Promise<undefined> {
    const { detail, done } = problem.catch({}).parse(await response.json().catch(() => ({})));
    if (response.status === none && detail !== undefined) return undefined;
    // The request was invalid (the answer says which part), so the arguments were wrong.
    if (detail !== undefined && [400, 422].includes(response.status)) throw new UsageError(detail);
    const remedy = response.status === 401 ? " Give its token in ADMIN_TOKEN or with --token-file." : "";
    const said = `${base.origin} answers ${response.status}: ${detail ?? response.statusText}${remedy}`;
    throw done === false ? new NotDone(said) : new Error(said);
  }

  async function* events(path: string) {
    const mute = new AbortController();
    let looks = 0;
    const timer = setInterval(() => {
      if (++looks > muteLooks)
        mute.abort(new Error(`the gateway at ${base.origin} has said nothing for long`));
    }, lookEveryMs);
    try {
      const signal = AbortSignal.any([context.signal, mute.signal]);
      const response = await send(path, { headers: authorization, signal });
      if (!response.ok) await refusal(response);
      const decoder = new TextDecoder();
      let text = "";
      for await (const bytes of response.body ?? []) {
        looks = 0;
        const parts = `${text}${decoder.decode(bytes, { stream: true })}`.split("\n\n");
        text = parts.pop() ?? "";
        for (const part of parts) {
          const [, event = "", data = ""] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
          if (event !== "") yield { event, data: JSON.parse(data) as unknown };
        }
      }
    } catch (error) {
      if (!context.signal.aborted) throw error;
    } finally {
      clearInterval(timer);
    }
  }

  return { request, events };
}

/** An older gateway does not say whether it is done. */
const problem = z.object({ detail: z.string().optional(), done: z.boolean().optional() });

/** The gateway says that what it was asked for was not done. */
export class NotDone extends Error {}

const page = z.object({ devices: z.array(deviceColumns) });

export function devicesOf({ request }: GatewayClient): DeviceStore {
  const one = (answer: unknown) => (answer === undefined ? undefined : deviceOf(deviceColumns.parse(answer)));
  return {
    list: async (filter) => page.parse(await request("GET", listOf(filter))).devices.map(deviceOf),
    get: async (id) => one(await request("GET", pathOf(id), undefined, notFound)),
    async add(devices) {
      const [first, ...others] = devices;
      if (first !== undefined && others.length === 0)
        return [(await request("POST", "/admin/devices", lineOf(first), 409)) !== undefined];
      const text = devices.map((device) => jsonLine(lineOf(device))).join("");
      const result = importResult.parse(await request("POST", "/admin/devices/import", text));
      const remarks = new Map(result.remarks.map(({ line, why }) => [line, why]));
      if (result.wrong > 0)
        throw new Error([...remarks].map(([line, why]) => `device ${line}: ${why}`).join("; "));
      return devices.map((_, at) => !remarks.has(at + 1));
    },
    async update(id, change) {
      const { tokenHash, graceMs = 0, ...described } = change;
      if (tokenHash === undefined)
        return one(await request("PATCH", pathOf(id), toColumns(described), notFound));
      const body = { ...toColumns({ tokenHash }), grace_seconds: Math.ceil(graceMs / 1000) };
      return one(await request("POST", `${pathOf(id)}/rotate-token`, body, notFound));
    },
    remove: async (id) => (await request("DELETE", pathOf(id), undefined, notFound)) !== undefined,
  };
}

export function settingsOf({ request }: GatewayClient): SettingStore {
  return {
    list: async () =>
      z.object({ settings: z.array(settingSchema) }).parse(await request("GET", "/admin/settings")).settings,
    async set(key, value) {
      const path = `/admin/settings/${segment(key)}`;
      const answer = await request("PUT", path, { value }, notFound);
      return answer === undefined ? undefined : settingSchema.parse(answer);
    },
  };
}

/** The token as the service reads it: ADMIN_TOKEN, or the file that ADMIN_TOKEN_FILE names. */
function configuredToken({ env }: Context): string | undefined {
  const { values, mistakes } = readTable({ adminToken: httpSettings.adminToken }, env, thisHost);
  if (mistakes.length > 0) throw new ConfigurationError(mistakes.map(({ text }) => `${text}\n`).join(""));
  const { adminToken } = values;
  return typeof adminToken === "string" ? adminToken : undefined;
}

function tokenIn(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new Error(`--token-file ${file} cannot be read`, { cause });
  }
}

/** @throws for a header of several lines, say; its words name the token, and so are not passed on */
function sendable(header: string, tokenFile: string | undefined): string {
  try {
    return new Headers({ authorization: header }).get("authorization") ?? "";
  } catch {
    const where = tokenFile === undefined ? "ADMIN_TOKEN" : `--token-file ${tokenFile}`;
    throw new Error(`${where} holds no token: it is one line, of characters that HTTP can send`);
  }
}

function baseOf(url: string): URL {
  const base = URL.canParse(url) ? new URL(url) : undefined;
  if (
    base === undefined ||
    !["http:", "https:"].includes(base.protocol) ||
    base.username + base.password !== "" ||
    base.pathname + base.search !== "/"
  )
    throw new UsageError(
      "--gateway <url> must be http://host:port or https://host:port, without user, password and path",
    );
  return base;
}

function pathOf({ tenantId, deviceId }: DeviceId): string {
  return `/admin/devices/${segment(tenantId)}/${segment(deviceId)}`;
}

/** A name as a part of a path. @throws for those that no URL can name: they would ask for something else */
export function segment(name: string): string {
  if (/^\.\.?$/.test(name))
    throw new UsageError(`no URL can name "${name}": sluice devices works on it without --gateway`);
  return encodeURIComponent(name);
}

function listOf({ tenantId, siteId, status, match, limit, after }: DeviceFilter): string {
  const next = after && deviceKey(after.tenantId, after.deviceId);
  return withQuery("/admin/devices", { tenant: tenantId, site: siteId, status, match, limit, after: next });
}

/** @param query name → value; what is undefined is left out */
export function withQuery(path: string, query: object): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const words = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]));
  return `${path}?${words.toString()}`;
}

/** A device in the form of the import: without hashes that are absent. */
function lineOf(device: NewDevice): object {
  const { tenantId, deviceId, siteId, status, fwVersion, metadata } = device;
  const { tokenHash, previousTokenHash, previousTokenUntil } = device;
  return toColumns({
    ...{ tenantId, deviceId, siteId, status, fwVersion, metadata },
    ...(tokenHash && { tokenHash }),
    ...(previousTokenHash && { previousTokenHash, previousTokenUntil }),
  });
}
