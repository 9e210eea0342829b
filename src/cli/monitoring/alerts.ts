/**
 * `sluice help alerts`: rules for Prometheus, one per state in which a site needs somebody.
 *
 * Each rule says what it means and what to do, because it wakes people who did not build this. Thresholds leave a
 * site time to react; an operator changes them in his own copy. No rule compares a value with its value hours ago: a
 * gateway that was installed an hour ago must be watched too.
 */
import { certificateDaysMin, rejectedShareMax, spoolShareMax } from "../../core/limits.ts";

export interface Alert {
  readonly name: string;
  readonly expr: string;
  /** How long it must hold before somebody is alerted. */
  readonly lasts: string;
  readonly severity: "critical" | "warning";
  readonly summary: string;
  readonly runbook: string;
}

/** What was lost while the gateway was away is counted at its start, before Prometheus asks for the first time: it sees no increase. */
const lossOf = (count: string) =>
  `increase(${count}[1h]) > 0 or (${count} > 0 and on (instance) sluice_uptime_seconds < 3600)`;

export const alerts: readonly Alert[] = [
  {
    name: "SluiceDown",
    expr: 'up{job="sluice"} == 0',
    lasts: "2m",
    severity: "critical",
    summary: "The gateway does not answer",
    runbook:
      "`systemctl status sluice` and `journalctl -u sluice -p warning` say why; exit code 78 is a mistake in the configuration, which `sluice check` names.",
  },
  {
    name: "SluiceSourceAway",
    expr: "sluice_source_connected == 0",
    lasts: "2m",
    severity: "critical",
    summary: "No message can come in through {{ $labels.source }}",
    runbook:
      "`GET /readyz` names the broker's answer; `sluice check` tries the connection. Meanwhile what devices publish waits at the broker, as far as the broker keeps it.",
  },
  {
    name: "SluiceBrokerDrops",
    expr: lossOf("sluice_source_broker_dropped_total"),
    lasts: "0m",
    severity: "warning",
    summary: "The broker dropped {{ $value | humanize }} messages for one of its clients",
    runbook:
      "If a gateway was away, they may be its: the broker keeps only so many for a client that is away. Let it keep more (Mosquitto: max_queued_messages 0, persistence true), and see why the gateway was away.",
  },
  {
    name: "SluiceKafkaLost",
    expr: lossOf("sluice_source_lost_total"),
    lasts: "0m",
    severity: "warning",
    summary: "Kafka removed {{ $value | humanize }} records before they were read",
    runbook:
      "They do not come back. Let the topic keep its records for longer than the gateway is away (retention.ms, retention.bytes), and see why it was away.",
  },
  {
    name: "SluiceSinkTrouble",
    expr: "sluice_sink_trouble == 1",
    lasts: "10m",
    severity: "warning",
    summary: "{{ $labels.sink }} takes nothing, or not everything",
    runbook:
      "Nothing is lost: entries wait in the spool. `GET /readyz` quotes the server; check that it runs and can be reached.",
  },
  {
    name: "SluiceSinkAlarm",
    expr: "sluice_sink_alarms > 0",
    lasts: "1m",
    severity: "critical",
    summary: "{{ $labels.sink }} is blocked until somebody acts",
    runbook:
      "alarms in `GET /stats` name the lane and the cause (a missing right, a missing column, a full disk). Fix it there; delivery continues by itself.",
  },
  {
    name: "SluiceIntakeHeld",
    // Not sluice_intake_held: a gateway to which nothing comes is not held yet when its disk is full.
    expr: 'sluice_ready{part="intake"} == 0',
    lasts: "1m",
    severity: "critical",
    summary: "Nothing is acknowledged: the spool cannot be written",
    runbook:
      "`GET /readyz` says why: the spool is at SPOOL_MAX_BYTES, the disk is full, or the disk has errors. Free space, or bring back the sink that is away.",
  },
  {
    name: "SluiceSpoolUnreadable",
    expr: 'sluice_ready{part="spool"} == 0',
    lasts: "1m",
    severity: "critical",
    summary: "The spool cannot be read where messages wait to be judged",
    runbook:
      "See to what `GET /readyz` quotes. Until then they wait, and so does what comes from devices that must be looked up.",
  },
  {
    name: "SluiceSpoolFilling",
    expr: `sluice_spool_bytes / sluice_spool_max_bytes > ${spoolShareMax}`,
    lasts: "5m",
    severity: "warning",
    summary: "The spool is {{ $value | humanizePercentage }} full",
    runbook:
      "At its bound the intake is held. Bring back the sink with the largest sluice_sink_waiting, or raise SPOOL_MAX_BYTES if the disk has room.",
  },
  {
    name: "SluiceSpoolFullSoon",
    expr: "sluice_spool_offline_left_seconds < 12 * 3600 and on (instance) sluice_sink_trouble == 1",
    lasts: "5m",
    severity: "critical",
    summary: "The spool is full in {{ $value | humanizeDuration }} if nothing is delivered",
    runbook: "Bring back the sink that is in trouble, or make room: raise SPOOL_MAX_BYTES, free disk space.",
  },
  {
    name: "SluiceOldestTooOld",
    expr: "sluice_sink_oldest_age_seconds > 3600",
    lasts: "10m",
    severity: "warning",
    summary: "{{ $labels.sink }} is {{ $value | humanizeDuration }} behind",
    runbook:
      "If it is in trouble, see SluiceSinkTrouble; if not, it is slower than what comes in: compare the rate of sluice_sink_delivered_total with sluice_accepted_total.",
  },
  {
    name: "SluiceDeadLettersGrow",
    expr: "increase(sluice_sink_refused_total[15m]) > 0",
    lasts: "0m",
    severity: "warning",
    summary: "{{ $labels.sink }} refused entries for good",
    runbook:
      "`sluice dead-letters list` shows each with the server's words. Once the cause is fixed: `sluice dead-letters replay --all`.",
  },
  {
    name: "SluiceRejects",
    expr: `sum by (instance) (rate(sluice_rejected_total[10m])) / clamp_min(sum by (instance) (rate(sluice_received_total[10m])), 0.001) > ${rejectedShareMax}`,
    lasts: "10m",
    severity: "warning",
    summary: "{{ $value | humanizePercentage }} of the messages are rejected",
    runbook:
      "`GET /admin/rejects` says which device and why; `sluice help reasons` gives the remedy per reason.",
  },
  {
    name: "SluiceUnbalanced",
    expr: "sluice_balanced == 0",
    lasts: "1m",
    severity: "critical",
    summary: "The books do not balance",
    runbook:
      "A message is counted nowhere, or twice: a fault in Sluice. Keep `GET /stats` and the log, and report it. `sluice spool verify` checks the disk.",
  },
  {
    name: "SluiceRegistryAway",
    expr: "sluice_registry_available == 0",
    lasts: "5m",
    severity: "warning",
    summary: "The device registry does not answer",
    runbook:
      "Known devices go on for AUTH_CACHE_STALE_SECONDS, unknown ones wait in the spool. Check that PostgreSQL runs and can be reached.",
  },
  {
    name: "SluiceRevocationsSlow",
    expr: "sluice_registry_changes_heard == 0",
    lasts: "10m",
    severity: "warning",
    summary: "The registry does not notify of changes at once",
    runbook:
      "`GET /readyz` says why: most often a pooler in transaction mode between Sluice and PostgreSQL. Let DATABASE_URL name the server itself.",
  },
  {
    name: "SluiceDiskLow",
    expr: "sluice_spool_free_disk_bytes < 2 * sluice_spool_min_free_bytes",
    lasts: "5m",
    severity: "warning",
    summary: "{{ $value | humanize1024 }}B are free on the spool's disk",
    runbook: "At SPOOL_MIN_FREE_BYTES the intake is held. Free disk space.",
  },
  {
    name: "SluiceCertificateEnds",
    expr: `sluice_certificate_expiry_timestamp_seconds - time() < ${certificateDaysMin} * 86400`,
    lasts: "1h",
    severity: "warning",
    summary: "The certificate of {{ $labels.setting }} expires in {{ $value | humanizeDuration }}",
    runbook: "Put the new one into the file; the gateway reads it again by itself.",
  },
  {
    name: "SluiceClockNotBelieved",
    expr: "sluice_clock_believed == 0",
    lasts: "5m",
    severity: "warning",
    summary: "The host's clock is wrong",
    runbook:
      "`GET /readyz` says how that was noticed. Set the clock (`timedatectl`, chrony); messages without ts then get their time.",
  },
  {
    name: "SluiceStalled",
    expr: "sluice_watchdog_progressing == 0",
    lasts: "1m",
    severity: "critical",
    summary: "Messages wait without a known reason",
    runbook: "The gateway frees itself or is restarted by systemd. Keep the log and report it.",
  },
];

/** SluiceDown knows the gateways by the name of their job: under another one it would be silent. */
const head = `# A file for rule_files of Prometheus. SluiceDown wants the job of the gateways to have this name:
# scrape_configs:
#   - job_name: sluice
#     static_configs:
#       - targets: ["127.0.0.1:8080"]
`;

export function alertRules(): string {
  const rules = alerts.map(({ name, expr, lasts, severity, summary, runbook }) => ({
    alert: name,
    expr,
    for: lasts,
    labels: { severity },
    annotations: { summary, runbook },
  }));
  return head + Bun.YAML.stringify({ groups: [{ name: "sluice", rules }] }, null, 2);
}
