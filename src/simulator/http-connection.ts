/**
 * The simulator's connection to HTTP ingest: each message is one request, repeated with the same Idempotency-Key
 * until the gateway answers what became of it, as MQTT repeats what was not acknowledged.
 */
import { sleep, withDeadline } from "../core/clock.ts";
import type { Answer, Connection, ConnectionOptions } from "./connection.ts";

const connectDeadlineMs = 10_000;
const requestMs = 60_000;
const againMs = 250;
/** What HTTP ingest says to a GET. */
const methodNotAllowed = 405;
/** Requests under way at once; a gateway bounds its connections. */
const inFlightMax = 16;

/** @throws if nothing answers there, or what is no HTTP ingest; a gateway that goes away later is waited for */
export async function openHttpConnection({
  brokerUrl: url,
  clientId,
  clock,
}: Pick<ConnectionOptions, "brokerUrl" | "clientId" | "clock">): Promise<Connection> {
  const name = `cannot connect to ${url}`;
  const asked = fetch(new URL("/ingest/v1/", url));
  const { status } = await withDeadline(clock, connectDeadlineMs, name, asked).catch((cause: unknown) => {
    throw new Error(name, { cause });
  });
  // Without it, each message would be refused, and nothing would say why.
  if (status !== methodNotAllowed)
    throw new Error(`${url} is no HTTP ingest (INGEST_LISTEN): it answers ${status} at /ingest/v1/`);
  const ending = new AbortController();
  let inFlight = 0;
  let sent = 0;

  /** Returns undefined if the message's fate is not known yet. */
  async function post(topic: string, payload: Buffer, key: string): Promise<Answer | undefined> {
    const place = topic.split("/").map(encodeURIComponent).join("/");
    try {
      const response = await fetch(new URL(`/ingest/v1/topic/${place}`, url), {
        method: "POST",
        headers: { "idempotency-key": key },
        body: payload,
        signal: AbortSignal.any([ending.signal, AbortSignal.timeout(requestMs)]),
      });
      const { reason } = (await response.json()) as { readonly reason?: string };
      // A reject is on disk too.
      if (response.status === 202 || reason !== undefined) return ["acknowledged", reason ?? "event"];
      return response.status === 503 || response.status === 429 ? undefined : ["refused"];
    } catch {
      return undefined;
    }
  }

  async function deliver(topic: string, payload: Buffer, key: string): Promise<Answer | undefined> {
    for (;;) {
      const answer = await post(topic, payload, key);
      if (answer !== undefined || ending.signal.aborted) return answer;
      await sleep(clock, againMs, ending.signal);
    }
  }

  async function report(
    delivery: Promise<Answer | undefined>,
    answered: (...answer: Answer) => void,
  ): Promise<void> {
    const answer = await delivery;
    inFlight -= 1;
    if (answer !== undefined) answered(...answer);
  }

  return {
    hasRoom: () => inFlight < inFlightMax,
    publish(topic, payload, _qos, answered) {
      inFlight += 1;
      sent += 1;
      void report(deliver(topic, payload, `${clientId}-${sent}`), answered);
    },
    close() {
      ending.abort();
      return Promise.resolve();
    },
  };
}
