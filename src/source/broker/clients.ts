/**
 * Who is behind each client of the embedded broker, for as long as it is connected: the topic it owns, what it proved itself
 * with, since when, what it subscribed to. A device that is revoked loses its connections, not only its next message.
 */
import type { Client } from "aedes";
import { Socket } from "node:net";
import type { Clock } from "../../core/clock.ts";
import { deviceKey, type DeviceId } from "../../core/device.ts";
import { ownTopic as topicOf } from "../../core/topic-level.ts";
import type { Warn } from "../../core/log/throttled-warn.ts";
import type { Connection, Proof, StillProves } from "../../core/source.ts";
import type { OwnTopic } from "./access.ts";

/** Connections of one device: more than it needs while an old one has not been noticed to be gone. */
const connectionsPerDeviceMax = 4;

interface Connected {
  readonly proof: Proof | null;
  readonly filters: Set<string>;
}

interface Parts {
  readonly stillProves?: StillProves;
  readonly clock: Clock;
  readonly warn: Warn;
}

export type BrokerClients = ReturnType<typeof createBrokerClients>;

export function createBrokerClients({ stillProves, clock, warn }: Parts) {
  const connected = new Map<Client, Connected>();
  /** Outlives the connection: a will is published when that has gone, and is its device's all the same. */
  const proofs = new WeakMap<Client, Proof | null>();
  const byId = new Map<string, Client>();
  /**
   * The connections of each device that proved itself, the oldest first, and since when: by the clock that never steps, for a host may
   * be given the time only later.
   */
  const byDevice = new Map<string, Map<Client, number>>();
  /** Own topic → how many filters are subscribed to under it, by all connections of its device. */
  const filtersUnder = new Map<OwnTopic, number>();
  let isClosed = false;

  /** Who proved himself; null: nobody did. */
  function speaker(client: Client | null): Proof | null {
    return client === null ? null : (proofs.get(client) ?? null);
  }

  function ownTopic(client: Client | null): OwnTopic {
    const proof = speaker(client);
    return proof === null ? null : topicOf(proof.tenantId, proof.deviceId, "");
  }

  /** The newest connections of a device are those that it knows of: the oldest gives way. */
  function makeRoom(present: ReadonlyMap<Client, number>): void {
    const [oldest] = present.keys();
    if (oldest === undefined || present.size < connectionsPerDeviceMax) return;
    warn(
      { client_id: oldest.id.slice(0, 64), remote: remoteOf(oldest) },
      `a client was disconnected: its device has ${connectionsPerDeviceMax} newer connections`,
    );
    remove(oldest);
    oldest.conn.destroy();
  }

  function enter(client: Client, proof: Proof): void {
    const key = keyOf(proof);
    const present = byDevice.get(key) ?? new Map<Client, number>();
    makeRoom(present);
    byDevice.set(key, present.set(client, clock.monoMs()));
  }

  /** One with the same client id ends, before another has to make room for its successor. */
  function takeOver(client: Client): void {
    const before = byId.get(client.id);
    if (before === undefined || before.closed) return;
    warn(
      { client_id: client.id.slice(0, 64), from: remoteOf(before), by: remoteOf(client) },
      "a connection was taken over by another one with the same client id",
    );
    // aedes would do so, but knows only one of those that are let in while it ends another, and the rest stay.
    before.conn.destroy();
    remove(before);
  }

  function add(client: Client, proof: Proof | null): void {
    // It left while its credentials were looked up: that it goes was told before anybody listened.
    if (client.conn.destroyed) return;
    takeOver(client);
    if (proof !== null) enter(client, proof);
    byId.set(client.id, client);
    proofs.set(client, proof);
    connected.set(client, { proof, filters: new Set() });
    client.conn.once("close", () => remove(client));
  }

  function count(client: Client, more: number): void {
    const own = ownTopic(client);
    const left = (filtersUnder.get(own) ?? 0) + more;
    if (left > 0) filtersUnder.set(own, left);
    else filtersUnder.delete(own);
  }

  function remove(client: Client): void {
    const own = connected.get(client);
    if (own === undefined) return;
    count(client, -own.filters.size);
    connected.delete(client);
    if (own.proof !== null) leave(client, keyOf(own.proof));
    if (byId.get(client.id) === client) byId.delete(client.id);
  }

  function leave(client: Client, key: string): void {
    const left = byDevice.get(key);
    left?.delete(client);
    if (left?.size === 0) byDevice.delete(key);
  }

  async function check(client: Client, proof: Proof): Promise<void> {
    // If the registry cannot be asked now, what it said last stands, as for messages.
    const stands = await stillProves?.(proof).catch(() => true);
    if (stands !== false || client.closed || isClosed) return;
    const { tenantId, deviceId } = proof;
    warn(
      { tenant_id: tenantId, device_id: deviceId, remote: remoteOf(client) },
      "a device was disconnected: it may not speak any more",
    );
    client.conn.destroy();
  }

  return {
    add,
    ownTopic,
    speaker,
    /** How many filters there are that a message on this topic may have to be passed on by: nobody has others than under his own. */
    subscribers: (topic: string) => filtersUnder.get(`${topic.split("/", 4).join("/")}/`) ?? 0,
    /** False: it has as many as it may. */
    subscribe(client: Client, filter: string, max: number): boolean {
      const own = connected.get(client)?.filters;
      if (own === undefined || (own.size >= max && !own.has(filter))) return false;
      if (!own.has(filter)) count(client, 1);
      own.add(filter);
      return true;
    },
    unsubscribe(client: Client, given: readonly string[]): void {
      const own = connected.get(client)?.filters;
      for (const filter of given) if (own?.delete(filter) === true) count(client, -1);
    },
    recheck(isMeant: (tenantId: string, deviceId: string) => boolean = () => true): void {
      for (const [client, { proof }] of connected)
        if (proof !== null && isMeant(proof.tenantId, proof.deviceId)) void check(client, proof);
    },
    connectionsOf(device: DeviceId): readonly Connection[] {
      const startMs = clock.wallMs() - clock.monoMs();
      return Array.from(byDevice.get(keyOf(device)) ?? []).flatMap(([client, sinceMonoMs]) => {
        const remote = remoteOf(client);
        return remote === undefined ? [] : [{ remote, sinceMs: startMs + sinceMonoMs }];
      });
    },
    close(): void {
      isClosed = true;
    },
  };
}

/** The address that it comes from, as long as it is there. */
export const remoteOf = ({ conn }: Client) => (conn instanceof Socket ? conn.remoteAddress : undefined);

function keyOf({ tenantId, deviceId }: DeviceId): string {
  return deviceKey(tenantId, deviceId);
}
