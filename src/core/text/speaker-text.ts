/**
 * Who speaks, as a row of COPY and a record of the spool have it: topic, tenant, device, type and site, each in COPY's text format, a tab
 * between them. Of events it is kept with the address, for a device says the same for years: to write it was a third of what a row cost,
 * and its strings were half of what an entry that is read from the disk took in memory. What another says under that topic (a source may
 * name the sender beside it) and what strangers say is written anew.
 */
import { Address, type createAddresses, addresses as ofProcess } from "../address.ts";
import { copyText } from "./copy-text.ts";
import type { Entry, Event } from "../entry.ts";
import { ownText } from "./own-text.ts";

export type Speaker = Pick<Entry, "topic" | "tenantId" | "deviceId" | "msgType" | "siteId">;

export function createSpeakers(addresses: ReturnType<typeof createAddresses>) {
  /** Of an event that comes without: its source named the sender, or it was read from the disk. Who has no name has none. */
  function addressOf({ topic, tenantId, deviceId, msgType }: Event): Address | undefined {
    if (!tenantId || !deviceId || !msgType) return undefined;
    const known =
      addresses.find(topic) ?? addresses.keep(new Address(topic, tenantId, deviceId, msgType, false));
    return known.names({ tenantId, deviceId, msgType }) ? known : undefined;
  }

  return {
    speakerText(entry: Entry): string {
      if (entry.kind !== "event") return textOf(entry);
      const address = entry.address ?? addressOf(entry);
      if (address === undefined) return textOf(entry);
      if (address.text === "" || address.siteId !== entry.siteId) write(address, entry);
      return address.text;
    },

    /** Who speaks in a record, if the text that begins there is kept. */
    speakerAt(record: string, from: number): Address | undefined {
      const address = addresses.find(record.slice(from, record.indexOf("\t", from)));
      if (address === undefined || address.text === "") return undefined;
      const { text } = address;
      return record.startsWith(text, from) && record[from + text.length] === "\t" ? address : undefined;
    },
  };
}

/** Those of the process: the spool and the store write the same devices. */
export const { speakerText, speakerAt } = createSpeakers(ofProcess);

/** The site is the registered one, so that all messages of a device say the same until it moves. */
function write(address: Address, entry: Event): void {
  // Of one that was read from the disk it is cut from its record; else it is the registry's, which all of a device share.
  address.siteId = entry.address === undefined && entry.siteId ? ownText(entry.siteId) : entry.siteId;
  address.text = ownText(textOf(entry));
}

function textOf({ topic, tenantId, deviceId, msgType, siteId }: Speaker): string {
  return `${copyText(topic)}\t${copyText(tenantId)}\t${copyText(deviceId)}\t${copyText(msgType)}\t${copyText(siteId)}`;
}
