/** Payloads that hold a secret: every spelling of its name, in every place, with the secret itself in other members besides. */
import { aBody } from "./builders.ts";

export interface Hiding {
  readonly what: string;
  readonly topic: string;
  readonly payload: string;
}

const spellings = [
  "provision_token",
  "provisionToken",
  "Provision-Token",
  "provision token",
  "PROVISION.TOKEN",
  "token",
  "Token",
  "auth_token",
  "accessToken",
  "x-auth-token",
  "tokens",
  "password",
  "mqttPassword",
  "passwd",
  "pwd",
  "device_secret",
  "clientSecret",
  "Authorization",
  "apiKey",
  "api_key",
];

/** Of a payload that is mostly one long string: an image, and a page of words. */
const image = "iVBORw0KGgo/AAA+".repeat(90);
const page = "the pressure rises and falls ".repeat(50);

type Member = readonly [name: string, secret: string];
type Body = Record<string, unknown>;

/** Where the member stands in the payload. */
const places: Record<string, (member: Member, body: Body) => string> = {
  "at the top": ([name, secret], body) => JSON.stringify({ ...body, [name]: secret }),
  "at the top, first": ([name, secret], body) => JSON.stringify({ [name]: secret, ...body }),
  "in an object": ([name, secret], body) => JSON.stringify({ ...body, a: { b: { [name]: secret } } }),
  "in a list": ([name, secret], body) => JSON.stringify({ ...body, a: [1, { [name]: [secret] }] }),
  "among the metrics": ([name, secret], body) =>
    JSON.stringify({ ...body, metrics: { temp_c: 1.5, [name]: secret } }),
  "as JSON in a string": ([name, secret], body) =>
    JSON.stringify({ ...body, note: JSON.stringify({ [name]: secret }) }),
  "behind escapes": ([name, secret], body) =>
    JSON.stringify({ ...body, "@@": secret }).replace(
      "@@",
      name.replace(/[a-z]/i, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`),
    ),
  "behind an image and before another": ([name, secret], body) =>
    JSON.stringify({ image, ...body, [name]: secret, next: image }),
  "on a page of words": ([name, secret], body) =>
    JSON.stringify({ ...body, note: `${page}${JSON.stringify({ [name]: secret })} ${page}` }),
  "hidden by a second member of that name": ([name, secret], body) =>
    JSON.stringify({ ...body, "@@": secret, [name]: null }).replace("@@", name),
  "in JSON that ends too early": ([name, secret], body) =>
    JSON.stringify({ [name]: secret, ...body }).slice(0, -3),
  "in a list that is the whole payload": ([name, secret]) => JSON.stringify([{ [name]: secret }]),
  "in pretty JSON": ([name, secret], body) => JSON.stringify({ ...body, [name]: secret }, null, 2),
};

/** Where else the secret stands. */
const copies: Record<string, (secret: string) => { body?: Body; level?: "tenant" | "device" | "type" }> = {
  nowhere: () => ({}),
  "in the site": (secret) => ({ body: { site_id: secret } }),
  "in ts": (secret) => ({ body: { ts: secret } }),
  "in seq": (secret) => ({ body: { seq: secret } }),
  "in a note": (secret) => ({ body: { note: `I am ${secret}!` } }),
  "as a name": (secret) => ({ body: { [secret]: 1 } }),
  "as a metric's name": (secret) => ({ body: { metrics: { [secret]: { bad: 1 } } } }),
  "as the tenant in the topic": () => ({ level: "tenant", body: { site_id: "elsewhere" } }),
  "as the device in the topic": () => ({ level: "device", body: { site_id: "elsewhere" } }),
  "as the type in the topic": () => ({ level: "type", body: { site_id: "elsewhere" } }),
};

/** What a site may use as a token: ours, an operator's own, with characters that JSON escapes, digits, beyond ASCII. */
export const secrets = [
  "tok-MDEyMzQ1Njc4OWFiY2RlZmdoaWpr",
  "Hunter2-is.my~secretWord",
  'quo"ted\\and/slashed',
  "4711081547110815",
  "geheim-ä漢字-2026",
];

/** @param address the levels of a topic for a device id */
export function* hidings(secret: string, base: Body = aBody()): Generator<Hiding> {
  const { provision_token: _, ...plain } = base;
  for (const name of spellings)
    for (const [place, put] of Object.entries(places))
      for (const [copy, more] of Object.entries(copies)) {
        const { body = {}, level } = more(secret);
        // A level of a topic holds no slash, and a made-up name is not to be a contradiction.
        const made = level && { [level]: secret.replaceAll(/[/\\"]/g, "_") };
        const { tenant, device, type } = { tenant: "acme", device: "dev-0001", type: "telemetry", ...made };
        const silent = { tenant_id: undefined, device_id: undefined, msg_type: undefined };
        yield {
          what: `"${name}" ${place}, and ${copy}`,
          topic: `tenant/${tenant}/device/${device}/${type}`,
          payload: put([name, secret], { ...plain, ...(level && silent), ...body }),
        };
      }
}

/** The forms in which a text could hold it. */
export function formsOf(secret: string): string[] {
  return [...new Set([secret, JSON.stringify(secret).slice(1, -1)])];
}
