/**
 * What aedes asks us about its clients: may it connect, publish, subscribe. `authorizePublish` is where messages go to
 * the intake; aedes goes on (PUBACK, then to subscribers) when its callback is called. A device shows its token to us alone:
 * subscribers get what was accepted, without the token, and no more than the gateway can pass on beside its own work.
 */
import type { AedesOptions, AuthenticateError, Client, ConnectPacket, PublishPacket } from "aedes";
import { Socket } from "node:net";
import { createAttempts } from "../../core/net/attempts.ts";
import { type Clock, sleep, withDeadline } from "../../core/clock.ts";
import { deviceKey } from "../../core/device.ts";
import { maskedOf } from "../../core/text/mask.ts";
import type { Warn } from "../../core/log/throttled-warn.ts";
import { unacknowledgedMax } from "../../core/redelivery-key.ts";
import type { Authenticate, Mapped, OwnerOf, Proof, StatusTopic, StillProves } from "../../core/source.ts";
import { admit, certificateOf, isBareToken, mayUse } from "./access.ts";
import { type BrokerClients, createBrokerClients, remoteOf } from "./clients.ts";
import { BrokerMessage, bytesOf, type Gate } from "./intake.ts";
import type { BrokerSettings } from "./settings.ts";
import { createBrokerStore } from "./store.ts";
import { NotOwnTopic, shownTopic } from "./words.ts";

/** How long a subscriber may take to take what it is sent. */
export const drainMs = 5000;
const clientIdLengthMax = 131_072;
const authenticateMs = 10_000;
/**
 * A refusal is told no sooner than this after CONNECT, whatever it took to find out: how long it takes must not tell which
 * devices there are. From an address that was wrong too often, later.
 */
const refusedAfterMs = 250;
const refusedOftenAfterMs = 2_000;
/** What may wait for a subscriber that reads slowly; what comes beyond it he misses. */
const subscriberBytesMax = 256 * 1024;
const subscriptionsPerClientMax = 20;
/** Messages with QoS 2 of one client between PUBLISH and PUBREL, of which only the numbers are kept. A device with a backlog sends all of it at once. */
const unreleasedMax = 10_000;
/** Messages times subscribers that are passed on in a second; the rest is not. */
export const passedOnPerSecondMax = 2_000;
/** Where a bridge of Mosquitto says, if it is not told otherwise, whether it is connected; refused, it would come back without end. */
const bridgeTopics = "$SYS/broker/connection/";
/** A topic that nobody can subscribe to: aedes acknowledges what is published there. */
const nobodysTopic = "$SYS/nobody";

export interface RulesOptions {
  readonly settings: BrokerSettings;
  readonly clock: Clock;
  /** Absent: credentials cannot be checked, and who gives some is refused. */
  readonly authenticate?: Authenticate;
  /** The same for who gives a token alone. */
  readonly ownerOf?: OwnerOf;
  /** For `recheck`; absent: who is in stays in. */
  readonly stillProves?: StillProves;
  /** A payload as subscribers may see it; absent: as it came. */
  readonly withoutTokens?: (payload: Uint8Array) => Uint8Array;
  /**
   * Of a larger payload only the beginning is kept: it is rejected by its size, and who announces a packet far larger is disconnected.
   * Asked at every packet. Absent: no bound.
   */
  readonly payloadBytesMax?: () => number;
  /** Topics that are nobody's own; who publishes there must be known, or show a token. Absent: there are none. */
  readonly mapped?: Mapped;
  /** Whoever may connect may subscribe to it. */
  readonly statusTopic?: StatusTopic | undefined;
  readonly warn: Warn;
  /** It is let in. */
  readonly welcome: (socket: Socket, proved: boolean) => void;
}

export interface BrokerRules extends Pick<BrokerClients, "recheck" | "connectionsOf"> {
  readonly aedes: AedesOptions;
  /** For `/stats`. */
  counts(): { readonly refused_connects: number; readonly not_passed_on: number };
  /** It took these filters back. */
  unsubscribed(client: Client, filters: readonly string[]): void;
  close(): void;
}

export function createBrokerRules(options: RulesOptions, gate: Gate): BrokerRules {
  const { settings, clock, authenticate, ownerOf, withoutTokens, warn, welcome, mapped } = options;
  const { payloadBytesMax = () => Number.POSITIVE_INFINITY, statusTopic } = options;
  const clients = createBrokerClients(options);
  const attempts = createAttempts(clock);
  const passing = perSecond(clock, passedOnPerSecondMax);
  /** Clients that say they have kept their session → how many of their next messages may be some they sent before: not all mark them. */
  const early = new WeakMap<Client, number>();
  let refused = 0;
  let notPassedOn = 0;
  const timely = <T>(asked: Promise<T>) => withDeadline(clock, authenticateMs, "the registry", asked);

  async function whyNot(
    client: Client,
    username?: string,
    password?: Buffer,
  ): Promise<AuthenticateError | null> {
    const startedMs = clock.monoMs();
    const admission = await admit(
      { username, password, certificate: certificateOf(client.conn) },
      {
        requireAuth: settings.requireAuth,
        tenant: settings.tenant,
        authenticate: authenticate && ((...who) => timely(authenticate(...who))),
        ownerOf: ownerOf && ((token) => timely(ownerOf(token))),
        stillProves: options.stillProves,
      },
    );
    const address = addressOf(client);
    if (admission.admitted) {
      // aedes registers it by this only afterwards.
      client.id = ownClientId(admission.proof, client.id);
      clients.add(client, admission.proof);
      if (client.conn instanceof Socket) welcome(client.conn, admission.proof !== null);
      return null;
    }
    const { why, returnCode } = admission;
    refused += 1;
    const afterMs = attempts.waitMs(address) > 0 ? refusedOftenAfterMs : refusedAfterMs;
    if (returnCode === 4) attempts.wrong(address);
    const shown = (text: string, charsMax: number) =>
      maskedOf(password?.toString() ?? "", text).slice(0, charsMax);
    const nameShown =
      username !== undefined && isBareToken(username, password) ? "***" : username && shown(username, 128);
    warn(
      { remote: address, username: nameShown, client_id: shown(client.id, 64) },
      `CONNECT refused: ${why}`,
    );
    await sleep(clock, Math.max(0, startedMs + afterMs - clock.monoMs()));
    return refusal(returnCode, why);
  }

  /** Whether it is passed on; else it goes where nobody listens, for its acknowledgement alone. */
  function mayPassOn(message: BrokerMessage): boolean {
    const subscribers = clients.subscribers(message.topic);
    if (subscribers === 0 || message.outcome !== "accepted") return false;
    if (passing.take(subscribers)) return true;
    notPassedOn += 1;
    warn(
      { max: passedOnPerSecondMax },
      "subscribers are not sent everything: there is more than can be passed on beside the intake",
    );
    return false;
  }

  function isEarly(client: Client | null): boolean {
    const left = client === null ? 0 : (early.get(client) ?? 0);
    if (client !== null && left > 0) early.set(client, left - 1);
    return left > 0;
  }

  /** Without the hash of its token nobody can tell which level of the topic that is: then the topic is not shown. */
  function refusedOf(client: Client, topic: string) {
    const { tenantId, deviceId, tokenHash = null } = clients.speaker(client) ?? {};
    const shown = tokenHash === null ? {} : { topic: shownTopic(topic, tokenHash) };
    return { remote: addressOf(client), tenant_id: tenantId, device_id: deviceId, ...shown };
  }

  const aedes: AedesOptions = {
    // Of messages that are passed on at a time, without a bound: those for a subscriber that does not read would fill it, and keep all others.
    concurrency: 0,
    connectTimeout: 10_000,
    drainTimeout: drainMs,
    // A user name stands in front of a client id here; MQTT 3.1 would bound the two together at 23.
    maxClientsIdLength: clientIdLengthMax,
    maxInflightInbound: unreleasedMax,
    persistence: createBrokerStore(statusTopic?.topic),
    preConnect(client, packet, done) {
      if ((packet.protocolVersion as number) > 4) return refuseVersion(client, done);
      if (!packet.clean) early.set(client, unacknowledgedMax);
      packet.clean = true;
      packet.clientId = tellableClientId(packet);
      // aedes reads on until it asks who it is, in the next turn: what came behind CONNECT by then was nobody's, and let in unasked.
      (client as Client & { pause(): void }).pause();
      return done(null, true);
    },
    async authenticate(client, username, password, done) {
      const error = await whyNot(client, username, password);
      done(error, error === null);
    },
    authorizePublish(client, packet, done) {
      const { topic } = packet;
      if (topic.startsWith(bridgeTopics)) {
        toNobody(packet);
        return done(null);
      }
      if (topic.startsWith("$")) return done(new Error("PUBLISH refused: a topic that begins with $"));
      if (!mayUse(clients.ownTopic(client), topic) && mapped?.takes(topic) !== true) {
        // Of a message the connection ends, which is told; a will comes when that has ended.
        if (client?.closed === true) warn(() => refusedOf(client, topic), willRefused);
        return done(new NotOwnTopic(topic, clients.speaker(client)?.tokenHash));
      }
      const speaker = clients.speaker(client);
      const message = new BrokerMessage(client, speaker, packet, clock.wallMs(), payloadBytesMax(), () => {
        if (mayPassOn(message)) {
          if (withoutTokens) packet.payload = Buffer.from(withoutTokens(bytesOf(packet)));
        } else toNobody(packet);
        done(null);
      });
      packet.retain = false;
      message.mayBeAgain = isEarly(client);
      if (message.wholeBytes !== undefined) packet.payload = nothing;
      gate.take(message);
    },
    authorizeSubscribe(client, subscription, done) {
      const why = whyNoSubscription(client, subscription.topic);
      if (why === undefined) return done(null, subscription);
      warn(() => refusedOf(client, subscription.topic), `SUBSCRIBE refused: ${why}`);
      return done(null, null);
    },
    authorizeForward: (client, packet) => (mayReach(client) ? packet : null),
  };

  /** undefined: it has it from now on. */
  function whyNoSubscription(client: Client, filter: string): string | undefined {
    const own = clients.ownTopic(client);
    if (filter !== statusTopic?.topic) {
      if (own === null) return "the client did not prove itself at CONNECT";
      if (!mayUse(own, filter)) return "not the device's own topic";
    }
    const isRoom = clients.subscribe(client, filter, subscriptionsPerClientMax);
    return isRoom ? undefined : `the client has ${subscriptionsPerClientMax} already`;
  }

  /** Once per subscriber. */
  function mayReach({ conn }: Client): boolean {
    const isSlow = conn instanceof Socket && conn.writableLength > subscriberBytesMax;
    if (isSlow) notPassedOn += 1;
    return !isSlow;
  }

  return {
    aedes,
    counts: () => ({ refused_connects: refused, not_passed_on: notPassedOn }),
    unsubscribed: clients.unsubscribe,
    recheck: clients.recheck,
    connectionsOf: clients.connectionsOf,
    close: clients.close,
  };

  function refuseVersion(client: Client, done: (error: Error | null, success: boolean) => void): void {
    refused += 1;
    const why = "the client speaks MQTT 5, and the embedded broker speaks 3.1.1 only";
    warn({ remote: addressOf(client) }, `CONNECT refused: ${why}`);
    client.conn.write(unsupportedVersion, () => done(new Error(`CONNECT refused: ${why}`), false));
  }
}

const nothing = Buffer.alloc(0);
const willRefused = "the last will of a device was not taken: not the device's own topic";

function toNobody(packet: PublishPacket): void {
  packet.topic = nobodysTopic;
  packet.payload = nothing;
  packet.retain = false;
}

/** CONNACK of MQTT 5 with "unsupported protocol version" (§3.2.2.2), at which its clients fall back (§4.13). */
const unsupportedVersion = Buffer.from([0x20, 0x03, 0x00, 0x84, 0x00]);

/** A device may use its token as client id, and lines of the log name that: it is without what was shown as proof. */
function tellableClientId({ username = "", clientId, password }: ConnectPacket): string {
  if (username !== "" && isBareToken(username, password)) return clientId.replaceAll(username, "***");
  return maskedOf(password?.toString() ?? "", clientId);
}

/**
 * A client id is its device's own, so that nobody else can hold it or take over its connection, in whatever way the two proved
 * themselves; nor can an anonymous client, by an id that looks like a device's.
 */
function ownClientId(proof: Proof | null, clientId: string): string {
  if (proof !== null) return `${deviceKey(proof.tenantId, proof.deviceId)}:${clientId}`;
  return clientId.includes("/") ? `:${clientId}` : clientId;
}

function addressOf(client: Client): string {
  return remoteOf(client) ?? "unknown";
}

/** So much in each second of the clock. */
function perSecond(clock: Clock, max: number) {
  let second = 0;
  let taken = 0;
  return {
    take(n: number): boolean {
      const now = Math.floor(clock.monoMs() / 1000);
      if (now !== second) [second, taken] = [now, 0];
      if (taken + n > max) return false;
      taken += n;
      return true;
    },
  };
}

/** `returnCode`: MQTT 3.1.1 §3.2.2.3. aedes declares a const enum for it, which does not exist at run time. */
const refusal = (returnCode: 2 | 3 | 4 | 5, why: string): AuthenticateError =>
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment
  Object.assign(new Error(`CONNECT refused: ${why}`), { returnCode });
