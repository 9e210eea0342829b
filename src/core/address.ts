/**
 * Who speaks, and all that is kept of that, for a device says the same topic for years. It is found by the topic once per message; the
 * judge and the entry carry it on, and what a room knows of the device hangs off it. Rejected alternative: a map per room. From some
 * thousand devices on each look-up waits for the host's memory, and ten of them were a fifth of what a message cost.
 *
 * Kept is who was accepted, so that strangers take no room from the fleet. Those that came first stay: to begin anew when full would keep
 * nothing of a few more devices that speak in turn, and to find the one to drop costs what is saved.
 */
import { deviceKey } from "./device.ts";
import type { MessageAddress } from "./message.ts";
import { interned, ownText } from "./text/own-text.ts";

/** Topics of which the speaker is kept; more, if the auth cache may have more devices. */
export const topicsMax = 131_072;
/** Of longer ones nothing is kept: a topic may have 65,535 bytes. */
export const topicCharsMax = 256;
/** Tenants and types of message that are kept once, however many devices have them. */
const wordsMax = 10_000;

/**
 * The object that a room last found for a speaker; whether it still holds, its `home` tells: the map that it is in, or none any more.
 * Who lets go of such a map empties it, for the address of a speaker that is silent from then on keeps it.
 */
export interface Found {
  home: ReadonlyMap<unknown, unknown> | undefined;
}

/** Of eighteen fields: with one more the engine gives it 64 bytes more. */
export class Address {
  readonly topic: string;
  readonly tenantId: string;
  deviceId: string;
  readonly msgType: string;
  /** Of the device (`deviceKey`), one string for all that keep something of it. */
  key: string;
  /** The topic itself says so, to anybody; otherwise the source or a mapping does. */
  readonly isOfTopic: boolean;
  /** Its strings are those of a message, or the kept row's; or it is kept itself. One field, for there is no room for two. */
  state: "read" | "shared" | "kept" = "read";
  /** For redelivery-key.ts; -1: not known yet. */
  seed = -1;
  /** For speaker-text.ts: the registered site, and what it writes; "": nothing yet. */
  siteId: string | null = null;
  text = "";
  /** For spool/redelivery.ts; -1: not known yet. */
  owner = -1;
  /** For judge/forms.ts: how its payloads are written (-1: not known yet), the site in them, and how many were written otherwise. */
  form = -1;
  formSite = "";
  formless = 0;
  /** For registry/auth-cache.ts, judge/limit.ts, admin/device-activity.ts and sink/influx/series.ts. */
  row: Found | undefined = undefined;
  bucket: Found | undefined = undefined;
  heard: Found | undefined = undefined;
  series: Found | undefined = undefined;

  constructor(topic: string, tenantId: string, deviceId: string, msgType: string, isOfTopic: boolean) {
    this.topic = topic;
    this.tenantId = tenantId;
    this.deviceId = deviceId;
    this.msgType = msgType;
    this.key = deviceKey(tenantId, deviceId);
    this.isOfTopic = isOfTopic;
  }

  /** Its strings are the kept row's from now on: written anew by each room, they were a sixth of what a device takes. */
  share(key: string, deviceId: string): void {
    this.key = key;
    this.deviceId = deviceId;
    if (this.state === "read") this.state = "shared";
  }

  get isKept(): boolean {
    return this.state === "kept";
  }

  names({ tenantId, deviceId, msgType }: MessageAddress): boolean {
    return deviceId === this.deviceId && msgType === this.msgType && tenantId === this.tenantId;
  }
}

export function createAddresses() {
  const kept = new Map<string, Address>();
  let keptMax = topicsMax;
  const word = interned(wordsMax);
  /** Several ask about the message under way, with the same string. */
  let lastTopic: string | undefined;
  let last: Address | undefined;

  return {
    /** So many devices may be cached. */
    makeRoomFor(devices: number): void {
      keptMax = Math.max(keptMax, devices);
    },

    find(topic: string): Address | undefined {
      if (topic !== lastTopic) [lastTopic, last] = [topic, kept.get(topic)];
      return last;
    },

    /** A device was accepted under this address. @returns what is kept of it, if there is room; itself otherwise */
    keep(address: Address): Address {
      if (address.isKept) return address;
      const { topic, tenantId, deviceId, msgType, isOfTopic } = address;
      const present = kept.get(topic);
      if (present !== undefined && (present.isOfTopic || !isOfTopic))
        return present.names(address) ? present : address;
      if (topic.length > topicCharsMax || (present === undefined && kept.size >= keptMax)) return address;
      const isShared = address.state === "shared";
      const device = isShared ? deviceId : ownText(deviceId);
      const own = new Address(ownText(topic), word(tenantId), device, word(msgType), isOfTopic);
      if (isShared) own.share(address.key, deviceId);
      own.state = "kept";
      kept.set(own.topic, own);
      lastTopic = undefined;
      return own;
    },
  };
}

/** Those of the process: the judge, the spool and the store see the same devices. */
export const addresses = createAddresses();
