/**
 * A connection to the brokers, by the client library: TLS, SASL, and why it cannot be had.
 *
 * The library is kafka-ts (MIT, no dependencies), of which only the protocol is used: requests, framing, TLS, and of SASL only PLAIN. Its own
 * producer sends some records twice when a leader changes, and costs five times as much as batch.ts. Rejected: @platformatic/kafka,
 * kept by a company, whose requests end at Produce 11 and EndTxn 4: that is the older transaction (five requests and a pause instead of
 * three); in a compiled executable it needs a patch (WebAssembly), and it brings nine packages. kafkajs, which loses records. The
 * library is loaded at the first connection, so that a gateway without Kafka does not pay for it; kafka-client.ts, login.ts, group.ts, leaderless.ts, raw.ts,
 * unpack.ts and wire.ts are all that know it.
 */
import type * as KafkaTs from "kafka-ts";
import { code, KafkaError } from "./error.ts";
import { noting, renewLogins } from "./login.ts";
import { scramLogin } from "./scram.ts";
import { parseServers } from "../core/net/servers.ts";
import { tlsOf, type KafkaSettings } from "./kafka-settings.ts";

export type Library = typeof KafkaTs;
export type Cluster = ReturnType<InstanceType<Library["Client"]>["createCluster"]>;

/** Why the last try to connect to an address did not work: the library tells its log and nobody else. */
const reasons = new Map<string, string>();
const reasonsMax = 100;

const listening: KafkaTs.Logger = {
  debug() {},
  info() {},
  warn: noteReason,
  error() {},
};

function noteReason(message: string, metadata?: unknown): void {
  const [address] = /[^ ]+$/.exec(message) ?? [""];
  if (reasons.size >= reasonsMax) reasons.clear();
  if (typeof metadata === "object" && metadata !== null && "reason" in metadata)
    reasons.set(address, String(metadata.reason));
}

/** @throws if the files of its certificates cannot be used */
export async function openClient(settings: KafkaSettings, clientId: string) {
  const library = await import("kafka-ts");
  library.setLogger(listening);
  const servers = parseServers(settings.servers ?? "") ?? [];
  const login = loginOf(library, settings);
  const client = new library.Client({
    clientId,
    bootstrapServers: [...servers],
    sasl: login && noting(login),
    ssl: tlsOf(settings)?.() ?? null,
    requestTimeout: settings.timeoutMs,
    connectTimeout: settings.timeoutMs,
  });
  const cluster = client.createCluster();
  renewLogins(cluster);
  return { library, client, cluster };
}

/** @throws with the cause, in the words of the first broker that gave one */
export async function connect(
  settings: KafkaSettings,
  clientId: string,
): Promise<{ readonly library: Library; readonly cluster: Cluster }> {
  const { library, cluster } = await openClient(settings, clientId);
  try {
    await cluster.connect();
  } catch (error) {
    await cluster.disconnect();
    throw noConnection(settings, error);
  }
  return { library, cluster };
}

/** The library, of connections that it could not make: each of them has its reason. */
const noneTaken = "No seed brokers found";
/** So ends a connection whose listener expects something else, and nothing more is said of it. */
const isShut = /^(Socket closed|Connection closed|Client network socket disconnected)/;
const shutRemedy =
  ": does that listener want TLS or a login, or none? See KAFKA_TLS and KAFKA_SASL_MECHANISM";

/** Why none of the brokers took the connection. */
export function noConnection({ servers = "" }: KafkaSettings, error: unknown): Error {
  const said = error instanceof Error ? error.message : String(error);
  const known = (parseServers(servers) ?? []).flatMap(
    ({ host, port }) => reasons.get(`${host}:${port}`) ?? [],
  );
  const why = (said === noneTaken ? known[0] : undefined) ?? said;
  return loginOutage(
    why,
    `cannot connect to Kafka at ${servers}: ${why}${isShut.test(why) ? shutRemedy : ""}`,
  );
}

/** A wrong password is no matter of waiting. */
function loginOutage(why: string, words: string): Error {
  return /SASL/.test(why) ? new KafkaError(code.loginFailed, words) : new Error(words);
}

/** The secrets are read at each login: a file of theirs may have been renewed since the connection was made. */
function loginOf({ API, saslPlain }: Library, settings: KafkaSettings): KafkaTs.SASLProvider | null {
  const { saslMechanism, saslUsername: username = "" } = settings;
  if (saslMechanism === "none") return null;
  return {
    mechanism: saslMechanism,
    authenticate: ({ sendRequest }) => {
      const { saslPassword: password = "", saslToken: token = "" } = settings;
      if (saslMechanism === "PLAIN") return saslPlain({ username, password }).authenticate({ sendRequest });
      const send = async (message: string) => {
        const { authBytes } = await sendRequest(API.SASL_AUTHENTICATE, { authBytes: Buffer.from(message) });
        return authBytes?.toString() ?? "";
      };
      if (saslMechanism === "OAUTHBEARER") return tokenLogin(token, send);
      const digest = saslMechanism === "SCRAM-SHA-256" ? "sha256" : "sha512";
      return scramLogin(digest, { username, password }, send);
    },
  };
}

/** RFC 7628: what is wrong with a token stands in an answer that is no error, which the library takes for a login. */
async function tokenLogin(token: string, send: (message: string) => Promise<string>): Promise<void> {
  const refusal = await send(`n,,\u0001auth=Bearer ${token}\u0001\u0001`);
  if (refusal !== "") throw new Error(`SASL: the broker refuses the token: ${refusal}`);
}
