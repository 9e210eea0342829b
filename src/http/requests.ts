/**
 * An example request per endpoint, from which come the curl lines of /docs. Their order is that of a walk through a gateway that is new:
 * what one makes the next one shows. test/binary/docs.test.ts walks it at a real gateway; `bun run test/http-examples.ts` keeps the
 * answers in examples.json.
 */
export interface ExampleRequest {
  /** Names in the path; absent: those of `exampleDevice`, and 1 for an id. */
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: string;
  /** JSON, or text of the media type that is given. */
  readonly body?: unknown;
  readonly type?: string;
}

/** By default; /docs shows that at which it was asked for. */
export const exampleOrigin = "http://127.0.0.1:8080";
const exampleDevice = { tenant: "acme", device: "press-3" };

const id = { tenant_id: "acme", device_id: "press-3" };

export const exampleRequests: Readonly<Record<string, ExampleRequest>> = {
  "status.health": {},
  "status.ready": {},
  "status.stats": { query: "pretty" },
  "status.metrics": {},
  "status.reasons": {},
  "status.history": {},
  "status.live": {},
  "docs.openapi": {},
  "docs.page": {},
  "page.html": {},
  "page.script": {},
  "page.style": {},
  "devices.create": { body: { ...id, site_id: "hall-7", make_token: true } },
  "devices.list": { query: "tenant=acme&limit=100" },
  "devices.activity": { query: "limit=100" },
  "devices.read": {},
  "devices.update": { body: { site_id: "hall-8" } },
  "devices.revoke": {},
  "devices.activate": {},
  "devices.rotate_token": { body: { grace_seconds: 3600 } },
  "devices.import": {
    type: "text/csv",
    body: "tenant_id,device_id,site_id\nacme,press-4,hall-7\n",
  },
  "devices.export": { query: "format=csv" },
  "devices.follow": { query: "tenant=acme&device=press-3" },
  "latest.seen": { query: "limit=100" },
  "latest.show": {},
  "latest.list": { body: { devices: [id] } },
  "rejects.list": { query: "tenant=acme" },
  "settings.list": {},
  "settings.set": { path: { key: "RATE_LIMIT_RPS" }, body: { value: "50" } },
  "cache.stats": {},
  "cache.invalidate": { body: { devices: [id] } },
  "cache.forget_device": {},
  "cache.forget_tenant": {},
  "cache.clear": {},
  "quarantine.list": { query: "limit=10" },
  "quarantine.show": {},
  "quarantine.replay": { body: { reason: "TOKEN_INVALID" } },
  "quarantine.discard": { body: { ids: [1] } },
  "dead_letters.set_aside": { body: { sink: "influx", count: 1 } },
  "dead_letters.list": { query: "limit=10" },
  "dead_letters.show": {},
  "dead_letters.replay": { body: { sink: "influx" } },
  "dead_letters.discard": { body: { ids: [1] } },
  "session.state": {},
  "session.login": { body: { token: "$ADMIN_TOKEN" } },
  "session.logout": {},
  "devices.remove": {},
};

export interface Described {
  readonly method: string;
  readonly path: string;
  readonly id: string;
}

/** The request as a line for a shell. Without ADMIN_TOKEN the header is empty, and no harm. */
export function curlLine({ method, path, id: name }: Described): string {
  const { path: names = {}, query, body, type = "application/json" } = exampleRequests[name] ?? {};
  const known: Readonly<Record<string, string>> = { ...exampleDevice, id: "1", ...names };
  const where = path.replace(/\{(\w+)\}/g, (_, key: string) => known[key] ?? key);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return [
    "curl -sS",
    ...(method === "GET" ? [] : [`-X ${method}`]),
    ...(/^\/(admin|devices)\b/.test(path) ? ['-H "authorization: Bearer $ADMIN_TOKEN"'] : []),
    ...(body === undefined ? [] : [`-H "content-type: ${type}"`, `--data-binary ${quoted(text)}`]),
    `"${exampleOrigin}${where}${query === undefined ? "" : `?${query}`}"`,
  ].join(" ");
}

/** Single quotes, but double ones around what the shell is to fill in. */
function quoted(text: string): string {
  return text.includes("$ADMIN_TOKEN") ? `"${text.replaceAll('"', '\\"')}"` : `'${text}'`;
}
