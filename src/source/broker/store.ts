/**
 * What aedes keeps for its clients, of which an intake needs next to nothing: no sessions, no retained messages
 * but the gateway's own status, no wills of other brokers. What is left is QoS 2, and of that only the packet identifiers between PUBLISH and PUBREL: aedes' own memory would keep
 * each message whole until then, which is a gigabyte for who never sends PUBREL. They go with the connection.
 */
import { Readable } from "node:stream";
import type { PublishPacket } from "aedes";

const nothing = () => Readable.from([]);
const kept = <T>(value: T) => Promise.resolve(value);

/** @param statusTopic the one topic whose last message is kept; only the gateway itself publishes there */
export function createBrokerStore(statusTopic?: string) {
  let status: PublishPacket | undefined;
  /** By client, as long as that lives. */
  const identifiers = new WeakMap<object, Set<number | undefined>>();
  type Packet = Pick<PublishPacket, "messageId">;

  return {
    // aedes looks at its kind.
    async setup() {},
    incomingStorePacket(client: object, { messageId }: Packet) {
      identifiers.set(client, (identifiers.get(client) ?? new Set()).add(messageId));
      return kept(undefined);
    },
    incomingGetPacket(client: object, { messageId }: Packet) {
      if (identifiers.get(client)?.has(messageId) === true) return kept({ messageId });
      return Promise.reject(new Error("no such packet"));
    },
    incomingDelPacket(client: object, { messageId }: Packet) {
      identifiers.get(client)?.delete(messageId);
      return kept(undefined);
    },
    cleanSubscriptions: kept,
    addSubscriptions: kept,
    removeSubscriptions: kept,
    subscriptionsByClient: () => kept([]),
    subscriptionsByTopic: () => kept([]),
    storeRetained(packet: PublishPacket) {
      if (packet.topic === statusTopic) status = packet;
      return kept(packet);
    },
    createRetainedStreamCombi: (filters: readonly string[]) =>
      Readable.from(status !== undefined && filters.includes(status.topic) ? [status] : []),
    outgoingStream: nothing,
    outgoingEnqueue: kept,
    outgoingEnqueueCombi: kept,
    outgoingUpdate: kept,
    outgoingClearMessageId: () => kept(undefined),
    putWill: kept,
    delWill: () => kept(undefined),
    streamWill: nothing,
  };
}
