/**
 * The rejects since the start, by reason and device, for an operator who asks "what is wrong with this device".
 *
 * They are in memory, because they are wanted most while PostgreSQL is away; quarantine_events has the history. The bound is per reason,
 * so that a flood of made-up ids pushes out only other UNREGISTERED_DEVICE rows, and not the device whose token is wrong.
 *
 * A limited device is good data turned away, so it is reported without being asked: in the log, and in /readyz. Telemetry without
 * metrics is accepted, but nothing of it arrives where readings are looked for, so it is shown here too, and logged.
 */
import { z } from "zod";
import { toColumns } from "../core/columns.ts";
import type { Entry, Event } from "../core/entry.ts";
import { deviceKey, type DeviceId } from "../core/device.ts";
import { ownText } from "../core/text/own-text.ts";
import { scrub } from "../judge/scrub.ts";
import type { Warn } from "../core/log/throttled-warn.ts";

/** Devices kept per reason. */
export const devicesMax = 1_000;
const limitedReason = "RATE_LIMITED";
const emptyReason = "TELEMETRY_WITHOUT_METRICS";
/** How long a device counts as limited after its last limited message. */
const limitedMs = 600_000;
const detailCharsMax = 256;
/** An operator asks of these which topic it was: a device may be named wrongly in it, or not at all. */
const aboutTopics: ReadonlySet<string> = new Set(["BAD_TOPIC_FORMAT", "MAPPING_MISFIT"]);

/** As GET /admin/rejects has it. */
export const rejectRow = z.object({
  reason: z.string().describe("See `sluice help reasons`."),
  accepted: z.boolean().describe("true: stored, but without metrics, so InfluxDB gets no reading from it."),
  tenant_id: z.string().nullable(),
  device_id: z.string().nullable().describe("null: the topic named no device."),
  count: z.number(),
  first_at: z.string(),
  last_at: z.string(),
  topic: z
    .string()
    .nullable()
    .describe("The topic of the last one, shortened, for BAD_TOPIC_FORMAT and MAPPING_MISFIT; else null."),
  // Never holds a token.
  detail: z.string().nullable().describe("What exactly was wrong with the last one."),
});
export type RejectRow = Readonly<z.infer<typeof rejectRow>>;

interface Row {
  readonly reason: string;
  readonly accepted: boolean;
  readonly tenantId: string | null;
  readonly deviceId: string | null;
  readonly firstMs: number;
  lastMs: number;
  count: number;
  topic: string | null;
  detail: string | null;
}

interface DeviceRejects {
  readonly rejected: number;
  readonly lastReject: string | null;
  readonly lastRejectMs: number | null;
}

/** Rejects since the start, the latest first, added up by reason and device. */
export interface RejectsView {
  list(filter: {
    reason?: string | undefined;
    tenantId?: string | undefined;
    deviceId?: string | undefined;
    limit: number;
  }): readonly RejectRow[];
}

export class RecentRejects implements RejectsView {
  /** Reason → device → row; the latest last. */
  readonly #reasons = new Map<string, Map<string, Row>>();
  readonly #warn: Warn;

  constructor(warn: Warn) {
    this.#warn = warn;
  }

  note(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.kind === "reject") this.#note(entry, entry.reason, false);
      else if (entry.kind === "event" && entry.detail !== null) this.#noteEmpty(entry);
    }
  }

  /** How many of the devices kept were limited within the last ten minutes. */
  limitedDevices(wallMs: number): number {
    const rows = [...this.#rowsOf(limitedReason).values()];
    return rows.filter(({ lastMs }) => wallMs - lastMs < limitedMs).length;
  }

  list({ reason, tenantId, deviceId, limit }: Parameters<RejectsView["list"]>[0]): readonly RejectRow[] {
    return [...this.#reasons.values()]
      .flatMap((rows) => [...rows.values()])
      .filter((row) => reason === undefined || row.reason === reason)
      .filter((row) => tenantId === undefined || row.tenantId === tenantId)
      .filter((row) => deviceId === undefined || row.deviceId === deviceId)
      .sort((a, b) => b.lastMs - a.lastMs)
      .slice(0, limit)
      .map(shown);
  }

  /** How often it was rejected, and for what the last time. */
  ofDevice({ tenantId, deviceId }: DeviceId): DeviceRejects {
    const key = deviceKey(tenantId, deviceId);
    const rows = [...this.#reasons.values()].flatMap((devices) => devices.get(key) ?? []);
    const rejects = rows.filter(({ accepted }) => !accepted).sort((a, b) => b.lastMs - a.lastMs);
    return {
      rejected: rejects.reduce((sum, { count }) => sum + count, 0),
      lastReject: rejects[0]?.reason ?? null,
      lastRejectMs: rejects[0]?.lastMs ?? null,
    };
  }

  #noteEmpty(entry: Event): void {
    this.#note(entry, emptyReason, true);
    this.#warn(
      { tenant: entry.tenantId, device: entry.deviceId, detail: entry.detail },
      "telemetry without metrics: stored, but InfluxDB gets no reading of it; /admin/rejects says of which devices",
    );
  }

  #note({ tenantId, deviceId, receivedMs, topic, detail }: Entry, reason: string, accepted: boolean): void {
    const rows = this.#rowsOf(reason);
    const key = deviceKey(tenantId ?? "", deviceId ?? "");
    const row = rows.get(key) ?? {
      reason,
      accepted,
      tenantId,
      deviceId,
      firstMs: receivedMs,
      lastMs: receivedMs,
      count: 0,
      topic: null,
      detail: null,
    };
    row.count++;
    row.lastMs = receivedMs;
    if (aboutTopics.has(reason)) row.topic = bounded(scrub(topic));
    row.detail = detail === null ? null : bounded(detail);
    if (!rows.delete(key) && rows.size >= devicesMax) rows.delete(rows.keys().next().value ?? "");
    rows.set(key, row);
    if (reason === limitedReason)
      this.#warn(
        { tenant: tenantId, device: deviceId, limited_since_start: row.count },
        "a device sends more than RATE_LIMIT_RPS and RATE_LIMIT_BACKLOG_SECONDS allow: RATE_LIMITED; what is kept of it comes back with `sluice quarantine replay --reason RATE_LIMITED`",
      );
  }

  #rowsOf(reason: string): Map<string, Row> {
    const present = this.#reasons.get(reason);
    if (present !== undefined) return present;
    const rows = new Map<string, Row>();
    this.#reasons.set(reason, rows);
    return rows;
  }
}

/** A copy if it is cut: a slice would keep the whole in memory. */
function bounded(detail: string): string {
  return detail.length <= detailCharsMax ? detail : ownText(detail.slice(0, detailCharsMax));
}

function shown(row: Row): RejectRow {
  const { reason, accepted, tenantId, deviceId, count, firstMs, lastMs, topic, detail } = row;
  return {
    reason,
    accepted,
    ...toColumns({ tenantId, deviceId }),
    count,
    first_at: new Date(firstMs).toISOString(),
    last_at: new Date(lastMs).toISOString(),
    topic,
    detail,
  };
}
