/**
 * Logins that end by themselves. With `connections.max.reauth.ms`, or once an OAuth token is over, a broker closes the connection at its
 * next request. So each is made again beforehand, on the same connection (KIP-368), and what is asked of it meanwhile waits; the library
 * does not look at the time that the broker gives. Rejected alternative: another connection, for what is under way on the old one.
 */
import type { SASLProvider } from "kafka-ts";
import { systemClock } from "../core/clock.ts";
import type { Cluster } from "./kafka-client.ts";

type Send = Parameters<SASLProvider["authenticate"]>[0]["sendRequest"];
type Broker = Awaited<ReturnType<Cluster["acquireBroker"]>>;

/** The rest of it is for requests that are on their way. */
const usedPart = 0.85;
/** A broker takes no second login within a second. */
const leastMs = 1_100;

/** When the login of a connection is to be made again, by what sends on it. */
const dueMs = new WeakMap<Send, number>();

/** The same login, whose end is noted. */
export const noting = (login: SASLProvider): SASLProvider => ({
  ...login,
  async authenticate({ sendRequest }) {
    dueMs.delete(sendRequest);
    const send = async (api: unknown, request: unknown) => {
      const answer = await (sendRequest as (api: unknown, request: unknown) => Promise<unknown>)(
        api,
        request,
      );
      const lifetimeMs = Number((answer as { readonly sessionLifetimeMs?: bigint }).sessionLifetimeMs ?? 0n);
      if (lifetimeMs > 0)
        dueMs.set(sendRequest, systemClock.monoMs() + Math.max(leastMs, lifetimeMs * usedPart));
      return answer;
    };
    await login.authenticate({ sendRequest: send as Send });
  },
});

/** From here on no request meets a login that is over. */
export function renewLogins(cluster: Cluster): void {
  const renewing = new WeakMap<Broker, Promise<void>>();

  function loggedIn(broker: Broker | undefined): Promise<void> | undefined {
    if (broker === undefined) return undefined;
    const due = dueMs.get(broker["sendConnectionRequest"]) ?? Number.POSITIVE_INFINITY;
    if (broker["ready"] && !renewing.has(broker) && systemClock.monoMs() >= due)
      renewing.set(
        broker,
        logIn(broker).finally(() => renewing.delete(broker)),
      );
    return renewing.get(broker);
  }

  const { sendRequest, sendRequestToNode } = cluster;
  cluster.sendRequest = (async (...asked: Parameters<Send>) => {
    await loggedIn(cluster["seedBroker"]);
    return sendRequest(...asked);
  }) as Send;
  cluster.sendRequestToNode = (node) =>
    (async (...asked: Parameters<Send>) => {
      const broker = cluster["brokerById"][node];
      try {
        await loggedIn(broker);
      } catch (error) {
        // Or the next request would fail, too, and find out only then that it has no connection.
        if (broker !== undefined) await cluster["evictBroker"](node, broker);
        throw error;
      }
      return sendRequestToNode(node)(...asked);
    }) as Send;
}

async function logIn(broker: Broker): Promise<void> {
  try {
    // A request that passed a moment ago goes out first: between the two that follow the broker takes no other.
    await new Promise(setImmediate);
    await broker["saslHandshake"]();
    await broker["saslAuthenticate"]();
  } catch (error) {
    await broker.disconnect();
    throw error;
  }
}
