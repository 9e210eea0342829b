/**
 * Who speaks, as a row of COPY and a record of the spool have it: topic, tenant, device, type and site, each in COPY's text format, a tab
 * between them. Of events it is kept per topic, for a device says the same for years: to write it was a third of what a row cost, and its
 * strings were half of what an entry that is read from the disk took in memory. What another says under that topic (a source may name
 * the sender beside it) and what strangers say is written anew.
 */
import { copyText } from "./copy-text.ts";
import type { Entry } from "./entry.ts";
import { ownText } from "./own-text.ts";
import { topicCharsMax, topicsMax } from "./per-topic.ts";

export type Speaker = Pick<Entry, "topic" | "tenantId" | "deviceId" | "msgType" | "siteId">;

interface Kept extends Speaker {
  readonly text: string;
}

export function createSpeakers() {
  const keptOf = new Map<string, Kept>();

  return {
    speakerText(entry: Entry): string {
      if (entry.kind !== "event") return textOf(entry);
      const kept = keptOf.get(entry.topic);
      if (kept !== undefined) return isOf(kept, entry) ? kept.text : textOf(entry);
      if (keptOf.size >= topicsMax || entry.topic.length > topicCharsMax) return textOf(entry);
      const own = ownOf(entry);
      keptOf.set(own.topic, own);
      return own.text;
    },

    /** Who speaks in a record, if the text that begins there is kept. */
    speakerAt(record: string, from: number): Kept | undefined {
      const kept = keptOf.get(record.slice(from, record.indexOf("\t", from)));
      const isThere =
        kept !== undefined && record.startsWith(kept.text, from) && record[from + kept.text.length] === "\t";
      return isThere ? kept : undefined;
    },
  };
}

/** Those of the process: the spool and the store write the same devices. */
export const { speakerText, speakerAt } = createSpeakers();

function isOf({ tenantId, deviceId, msgType, siteId }: Kept, entry: Speaker): boolean {
  return (
    deviceId === entry.deviceId &&
    siteId === entry.siteId &&
    msgType === entry.msgType &&
    tenantId === entry.tenantId
  );
}

function ownOf(entry: Speaker): Kept {
  const own = (text: string | null) => (text === null ? null : ownText(text));
  const { tenantId, deviceId, msgType, siteId } = entry;
  return {
    topic: ownText(entry.topic),
    tenantId: own(tenantId),
    deviceId: own(deviceId),
    msgType: own(msgType),
    siteId: own(siteId),
    text: ownText(textOf(entry)),
  };
}

function textOf({ topic, tenantId, deviceId, msgType, siteId }: Speaker): string {
  return `${copyText(topic)}\t${copyText(tenantId)}\t${copyText(deviceId)}\t${copyText(msgType)}\t${copyText(siteId)}`;
}
