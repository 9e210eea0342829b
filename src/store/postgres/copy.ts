/**
 * Rows in the text format of COPY (core/copy-text.ts): a tab between columns, a newline after each row. The whole batch becomes one
 * string in one pass.
 */
import { copyText } from "../../core/copy-text.ts";
import type { Entry } from "../../core/entry.ts";
import { eventTime, isQuarantined, isRaw, rawPayload, timeText } from "../rows.ts";

export const copyRaw =
  "copy raw_events (ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, accepted, payload) from stdin";
export const copyQuarantine =
  "copy quarantine_events (ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, reason, payload) from stdin";

/** "" if no entry belongs in raw_events. */
export function rawRows(entries: readonly Entry[]): string {
  let rows = "";
  for (const entry of entries) {
    if (!isRaw(entry)) continue;
    rows += `${common(entry)}\t${entry.kind === "event" ? "t" : "f"}\t${copyText(rawPayload(entry))}\n`;
  }
  return rows;
}

/** "" if no entry belongs in quarantine_events. */
export function quarantineRows(entries: readonly Entry[]): string {
  let rows = "";
  for (const entry of entries) {
    if (!isQuarantined(entry)) continue;
    rows += `${common(entry)}\t${copyText(entry.reason)}\t${copyText(entry.payload)}\n`;
  }
  return rows;
}

function common(entry: Entry): string {
  const { topic, tenantId, siteId, deviceId, msgType } = entry;
  const times = `${timeText(entry.receivedMs, 0)}\t${copyText(eventTime(entry))}`;
  return `${times}\t${copyText(topic)}\t${copyText(tenantId)}\t${copyText(siteId)}\t${copyText(deviceId)}\t${copyText(msgType)}`;
}
