/**
 * DATABASE_URL, read as libpq reads a connection URI (PostgreSQL manual, 34.1.1.2), and handed to postgres.js as options.
 *
 * postgres.js would read it by itself, but takes `[::1]` apart at its colons, knows no percent-encoded socket directory and sends
 * parameters that it does not know to the server, which then refuses every connection.
 */
import { isAbsolute } from "node:path";
import { z } from "zod";
import { hostPort } from "../../core/net/listen.ts";
import { lastGood, readTls, type TlsPaths, type TlsTexts } from "../../core/net/pem.ts";

export interface PostgresUrl {
  /** Tried in turn. A host that begins with / is the directory of a socket, and then the only one. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** null: the user's name. */
  readonly database: string | null;
  readonly user: string | null;
  readonly password: string;
  readonly tls: PostgresTls;
  readonly targetSessionAttrs: string | null;
  /** Parameters for the server, such as application_name or search_path. */
  readonly parameters: Readonly<Record<string, string>>;
}

interface PostgresTls {
  /** As libpq's sslmode; null: not given. */
  readonly mode: string | null;
  /** Paths of PEM files. */
  readonly rootCert: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

const defaultPort = 5432;
const sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const sessionAttrs = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];
/** Parameters that libpq knows and this program does not: passed on, they would make the server refuse every connection. */
const unsupported = new Set(
  `hostaddr passfile require_auth channel_binding client_encoding fallback_application_name keepalives keepalives_idle
   keepalives_interval keepalives_count tcp_user_timeout replication gssencmode sslcompression sslcertmode sslpassword sslcrl
   sslcrldir sslsni sslnegotiation requirepeer ssl_min_protocol_version ssl_max_protocol_version krbsrvname gsslib service
   load_balance_hosts requiressl`.split(/\s+/),
);

/** Values of them that say what is so anyway, as the URLs of hosted servers and of other clients do. What asks for more, such as channel_binding=require, is a mistake. */
const asItIs: Readonly<Record<string, readonly string[]>> = {
  channel_binding: ["disable", "prefer"],
  client_encoding: ["utf8", "utf-8"],
  gssencmode: ["disable", "prefer"],
  keepalives: ["1"],
  load_balance_hosts: ["disable"],
  sslcompression: ["0"],
  sslnegotiation: ["postgres"],
  sslsni: ["1"],
};

/** A name that begins like a parameter of the connection is none of the server's: a misspelt sslmode must not go unnoticed. */
const misspelt = /^(?:ssl|gss|krb|target_|connect|host|port|user|pass|db)/i;

/** @throws Error with what it must be; never with the URL, which holds a password */
export function parsePostgresUrl(text: string): PostgresUrl {
  const parts = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(text);
  if (!parts) throw new Error("a URL such as postgres://user:<password>@host:5432/database");
  const [, login = "", hostSpec = "", path = "", query = ""] = parts;
  // The rest of a password that was not encoded, which would be printed as the name of the server or the database.
  if (`${hostSpec}${path}`.includes("@"))
    throw new Error("a URL in which @ / ? of user and password are written as %40 %2F %3F");
  const [user = "", ...password] = login.split(":");
  const given = parametersOf(query);
  const take = (name: string) => {
    const value = given.get(name);
    given.delete(name);
    return value === undefined || value === "" ? null : value;
  };
  take("connect_timeout");
  for (const [name, values] of Object.entries(asItIs))
    if (values.includes(given.get(name)?.toLowerCase() ?? "")) given.delete(name);
  const attrs = oneOf("target_session_attrs", take("target_session_attrs"), sessionAttrs);
  const hosts = hostsOf(hostSpec, take("host"), take("port"));
  const sslmode = oneOf("sslmode", take("sslmode"), sslModes);
  const url: PostgresUrl = {
    hosts,
    database: take("dbname") ?? orNull(decode(path)),
    user: take("user") ?? orNull(decode(user)),
    password: take("password") ?? decode(password.join(":")),
    tls: {
      // A socket has no TLS; what is asked of it is for hosts, as with libpq.
      mode: hosts.some(isSocket) ? "disable" : sslmode,
      rootCert: take("sslrootcert"),
      cert: take("sslcert"),
      key: take("sslkey"),
    },
    targetSessionAttrs: attrs === "any" ? null : attrs,
    parameters: Object.fromEntries(given),
  };
  const unknown = [...given.keys()].filter((name) => unsupported.has(name) || misspelt.test(name));
  if (unknown.length > 0)
    throw new Error(`a URL without the parameters ${unknown.join(", ")}, which Sluice does not know`);
  return url;
}

function parametersOf(query: string): Map<string, string> {
  const given = new Map<string, string>();
  for (const pair of query.split("&").filter(Boolean)) {
    const at = pair.indexOf("=");
    if (at <= 0) throw new Error("a URL whose parameters are name=value");
    given.set(decode(pair.slice(0, at)), decode(pair.slice(at + 1)));
  }
  return given;
}

/** `?host=` takes precedence over the host before the path, as with libpq. */
function hostsOf(spec: string, host: string | null, port: string | null): PostgresUrl["hosts"] {
  const hosts = (host ?? "").split(",").filter(Boolean);
  const ports = (port ?? "").split(",").filter(Boolean);
  const named =
    hosts.length > 0 ? hosts.map((name) => ({ host: name, port: "" })) : spec.split(",").map(hostOf);
  const all = named.map((each, at) => ({
    host: each.host || "localhost",
    port: portOf(each.port || (ports[at] ?? ports[0] ?? "")),
  }));
  if (all.length > 1 && all.some(isSocket))
    throw new Error("a URL with one socket directory, or with hosts only");
  return all;
}

const isSocket = ({ host }: { readonly host: string }) => isAbsolute(host);

function hostOf(spec: string): { host: string; port: string } {
  const found = /^(?:\[([0-9A-Za-z:.%]+)\]|([^:[\]]*))(?::(\d*))?$/.exec(spec);
  if (!found) throw new Error("a URL whose hosts are name, name:port or [IPv6]:port");
  return { host: decode(found[1] ?? found[2] ?? ""), port: found[3] ?? "" };
}

function portOf(text: string): number {
  const port = text === "" ? defaultPort : Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new Error("a URL with ports from 1 to 65535");
  return port;
}

function oneOf(name: string, value: string | null, words: readonly string[]): string | null {
  if (value === null || words.includes(value)) return value;
  throw new Error(`a URL whose ${name} is one of ${words.join(", ")}`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error("a URL in which every % begins a code such as %2F");
  }
}

const orNull = (text: string) => (text === "" ? null : text);

/** host:port/database, without user and password. */
export function placeOf({ hosts, database }: PostgresUrl): string {
  return `${hosts.map(hostPort).join(",")}/${database ?? ""}`;
}

type TlsOption = boolean | "require" | "prefer" | "verify-full" | Readonly<Record<string, unknown>>;

/**
 * postgres.js' `ssl`. With a root certificate the server is always checked against it, and by name unless sslmode says otherwise.
 * @throws naming the parameter and the file, if a file cannot be used
 */
export function tlsOf(tls: PostgresTls): TlsOption {
  const { mode, rootCert } = tls;
  const paths = pathsOf(tls);
  const texts = textsOf(paths);
  const files = texts();
  if (mode === "disable") return false;
  const isVerified = rootCert !== null || mode === "verify-full" || mode === "verify-ca";
  if (Object.keys(files).length === 0 && mode !== "verify-ca") {
    if (isVerified) return "verify-full";
    // libpq's allow begins without TLS and comes to it if it must: either will do, as with prefer.
    if (mode === "allow" || mode === "prefer") return "prefer";
    return mode === "require" ? mode : false;
  }
  const isByName = mode !== "verify-ca";
  return renewing(files, texts, {
    rejectUnauthorized: isVerified,
    ...(!isByName && { checkServerIdentity: () => undefined }),
  });
}

const tlsNames = { ca: "sslrootcert", cert: "sslcert", key: "sslkey" };
/** By path, since clients come and go and the last good text must outlive them. There are as many as there are URLs. */
const readers = new Map<string, () => TlsTexts>();

function textsOf(paths: TlsPaths): () => TlsTexts {
  const key = JSON.stringify(paths);
  const known = readers.get(key) ?? lastGood(() => readTls(tlsNames, paths));
  readers.set(key, known);
  return known;
}

/** Getters, because the files are read again whenever a connection copies them, which postgres.js does by `Object.assign`: a spread would read them once. */
function renewing(
  files: TlsTexts,
  texts: () => TlsTexts,
  rest: Record<string, unknown>,
): Record<string, unknown> {
  const kinds = Object.keys(files) as (keyof TlsTexts)[];
  const getters = kinds.map((kind) => [kind, { enumerable: true, get: () => texts()[kind] }] as const);
  return Object.defineProperties(rest, Object.fromEntries(getters));
}

function pathsOf({ rootCert, cert, key }: PostgresTls): TlsPaths {
  return {
    ca: rootCert === null || rootCert === "system" ? undefined : rootCert,
    cert: cert ?? undefined,
    key: key ?? undefined,
  };
}

function usable(tls: PostgresTls): void {
  try {
    readTls(tlsNames, pathsOf(tls));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`a URL whose TLS files can be used (${why})`, { cause: error });
  }
}

/** The check of the setting: everything that can be known without a connection, its files included. */
export const postgresUrl: z.ZodType<string> = z.string().superRefine((text, context) => {
  try {
    const { tls } = parsePostgresUrl(text);
    usable(tls);
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
  }
});
