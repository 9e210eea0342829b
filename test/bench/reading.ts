/** The payload of one telemetry message, the same for every bench of a sink, so that their figures are of the same work. */
export function readingText(seq: number): string {
  const metrics = {
    battery_pct: 87.5,
    temp_c: 20 + (seq % 100) / 10,
    rssi_dbm: -85,
    snr_db: 12.4,
    uplink_ok: true,
  };
  return JSON.stringify({ version: "1", ts: "2026-11-21T00:00:00Z", site_id: "lab-1", seq, metrics });
}
