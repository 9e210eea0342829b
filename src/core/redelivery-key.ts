/**
 * The key by which a message is known that its sender delivers again: one number that stands for the sender, the topic, the bytes and
 * the identifier that the sender gave this delivery. Each source says what these are (MQTT: client id and packet identifier).
 */
import { addresses } from "./address.ts";

export interface Delivered {
  /** Whose identifiers these are: "" for the broker we are a client of, else the device's client id. */
  readonly sender: string;
  readonly topic: string;
  readonly payload: Uint8Array;
  /** From 0 to 65,535. */
  readonly packetId: number;
}

/** The identifier in the last 16 bits, so that what it came with can be known without it (`contentOf`). */
export function redeliveryKey({ sender, topic, payload, packetId }: Delivered): number {
  const seed = sender === "" ? seedOf(topic) : seedFrom(sender, topic);
  return Number(wyhash(payload, seed) & 0x1f_ffff_ffffn) * packetIds + packetId;
}

/** More can be unacknowledged of no session (packet identifiers, MQTT 5 §2.2.1). */
export const unacknowledgedMax = 65_535;

/** A seed of 32 bits may be a number, whatever the types say: that is the same hash, and no allocation. */
const wyhash = Bun.hash.wyhash as unknown as (data: Uint8Array, seed: number) => bigint;

const seedFrom = (sender: string, topic: string) => Bun.hash.crc32(`${sender}\n${topic}`);

/** Of the broker that we are a client of. */
function seedOf(topic: string): number {
  const address = addresses.find(topic);
  if (address === undefined) return seedFrom("", topic);
  if (address.seed < 0) address.seed = seedFrom("", topic);
  return address.seed;
}

const packetIds = 65_536;

/** What a key says of sender, topic and bytes alone. */
export const contentOf = (key: number) => Math.floor(key / packetIds);
