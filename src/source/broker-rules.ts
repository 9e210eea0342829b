/**
 * What aedes asks us about its clients: may it connect, publish, subscribe. `authorizePublish` is where messages go to
 * the intake; aedes goes on (PUBACK, then to subscribers) when its callback is called.
 */
import type { AedesOptions, AuthenticateError, Client } from "aedes";
import { type Clock, withDeadline } from "../core/clock.ts";
import { admit, type Authenticate, mayUse, type OwnTopic } from "./broker-access.ts";
import { BrokerMessage, type Gate } from "./broker-intake.ts";
import type { BrokerSettings } from "./broker-settings.ts";

/** How long a client may take to send CONNECT, and a subscriber to take what it is sent. */
const CONNECT_MS = 10_000;
const DRAIN_MS = 5000;
const AUTHENTICATE_MS = 10_000;

export interface RulesOptions {
  readonly settings: BrokerSettings;
  readonly clock: Clock;
  readonly authenticate?: Authenticate;
}

export function brokerRules({ settings, clock, authenticate }: RulesOptions, gate: Gate): AedesOptions {
  const owners = clientOwners();
  const timely: Authenticate | undefined =
    authenticate && ((...who) => withDeadline(clock, AUTHENTICATE_MS, "the registry", authenticate(...who)));

  async function whyNot(
    client: Client,
    username?: string,
    password?: Buffer,
  ): Promise<AuthenticateError | null> {
    const admission = await admit(username, password, settings.requireAuth, timely);
    if (!admission.admitted) return refusal(admission.returnCode, admission.why);
    return owners.add(client, admission.ownTopic) ? null : refusal(2, "another device has this client id");
  }

  return {
    connectTimeout: CONNECT_MS,
    drainTimeout: DRAIN_MS,
    preConnect(_client, packet, done) {
      packet.clean = true;
      done(null, true);
    },
    async authenticate(client, username, password, done) {
      const error = await whyNot(client, username, password);
      done(error, error === null);
    },
    authorizePublish(client, packet, done) {
      const { topic } = packet;
      if (topic.startsWith("$")) return done(new Error("PUBLISH refused: a topic that begins with $"));
      if (!mayUse(owners.ownTopic(client), topic)) {
        return done(new Error("PUBLISH refused: not the device's own topic"));
      }
      packet.retain = false;
      gate.take(new BrokerMessage(client, packet, clock.wallMs(), () => done(null)));
    },
    authorizeSubscribe(client, subscription, done) {
      done(null, mayUse(owners.ownTopic(client), subscription.topic) ? subscription : null);
    },
  };
}

/** Who is behind each client, and whose each client id is, so that a device cannot take over another's connection. */
function clientOwners() {
  const ownTopics = new WeakMap<Client, OwnTopic>();
  const holders = new Map<string, Client>();
  const ownTopic = (client: Client | null) => (client === null ? null : (ownTopics.get(client) ?? null));

  return {
    ownTopic,
    /** False where the client id is another device's. */
    add(client: Client, own: OwnTopic): boolean {
      const holder = holders.get(client.id);
      if (holder !== undefined && !holder.closed && ownTopic(holder) !== own) return false;
      ownTopics.set(client, own);
      holders.set(client.id, client);
      client.conn.once("close", () => {
        if (holders.get(client.id) === client) holders.delete(client.id);
      });
      return true;
    },
  };
}

/** `returnCode`: MQTT 3.1.1 §3.2.2.3. aedes declares a const enum for it, which does not exist at run time. */
const refusal = (returnCode: 2 | 3 | 4 | 5, why: string): AuthenticateError =>
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment
  Object.assign(new Error(`CONNECT refused: ${why}`), { returnCode });
