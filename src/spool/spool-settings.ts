/** The settings of the spool. */
import { oneOf, integer } from "../core/settings.ts";

export const spoolSettings = {
  lingerMs: integer({
    name: "SPOOL_LINGER_MS",
    default: 5,
    unit: "ms",
    max: 10_000,
    help: "How long a group of messages is collected before it is written with one fsync and acknowledged. While fewer than 48 come in that time, it is up to six times as long, at most 50 ms, if that brings more.",
  }),
  bytesMax: integer({
    name: "SPOOL_MAX_BYTES",
    default: 10_737_418_240,
    unit: "bytes",
    min: 65_536,
    help: "The most bytes of undelivered entries (compressed) that the spool holds; at this bound the intake is held.",
  }),
  whenFull: oneOf({
    name: "SPOOL_WHEN_FULL",
    default: "hold",
    words: ["hold", "drop_oldest"],
    help: "At SPOOL_MAX_BYTES: hold (nothing more is acknowledged, nothing is lost) or drop_oldest (the oldest undelivered entries are removed and counted as skipped).",
  }),
  ageMaxSeconds: integer({
    name: "SPOOL_MAX_AGE_SECONDS",
    default: 0,
    unit: "seconds",
    help: "Sinks that may skip (SPOOL_WHEN_FULL=drop_oldest, or INFLUX_, REDIS_ or KAFKA_WHEN_FULL=skip) skip undelivered entries older than this; 0: never.",
  }),
  freeBytesMin: integer({
    name: "SPOOL_MIN_FREE_BYTES",
    default: 67_108_864,
    unit: "bytes",
    help: "What the spool leaves free on its disk, 32 MiB of which it needs itself to remove what is delivered; if less is free, the intake is held. 0: no floor.",
  }),
  letterBytesMax: integer({
    name: "DEAD_LETTERS_MAX_BYTES",
    default: 268_435_456,
    unit: "bytes",
    min: 1_048_576,
    help: "The most bytes of dead letters that are kept; beyond it, the oldest of the devices that have most of them are removed.",
  }),
  letterAgeMaxDays: integer({
    name: "DEAD_LETTERS_MAX_AGE_DAYS",
    default: 90,
    unit: "days",
    max: 36_500,
    help: "Dead letters older than this are removed; 0: never.",
  }),
  redeliveryWindow: integer({
    name: "REDELIVERY_WINDOW",
    default: 100_000,
    unit: "messages",
    min: 1,
    max: 10_000_000,
    help: "How many acknowledged packets are remembered, so that one that is delivered again is recognised.",
  }),
};
