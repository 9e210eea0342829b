/**
 * One level of a topic, as tenant, device and message type are: what it may hold and how long it may be; and the topic of these three.
 *
 * A separator or a wildcard in it would name other levels (MQTT 5 §4.7), and U+0000 must not stand in one (§1.5.4). Control
 * characters and halves of surrogate pairs fit no table, file or line. An id that is registered is shorter than one that may be
 * judged: tenant and device together are one key of an index, of which PostgreSQL takes about 2,700 bytes.
 */
import { z } from "zod";

/** Of a level that may be judged, in UTF-16 units. */
export const levelCharsMax = 512;
/** Of an id that may be registered. */
export const idCharsMax = 256;

// oxlint-disable-next-line no-control-regex
const level = /^[^/+#\0]+$/;
const separator = /[/+#]/;
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f]/;

/** As regular expressions, which the API's document shows. */
export const idPattern = /^[^/+#\p{Cc}\p{Cs}]+$/u;
export const storablePattern = /^[^\p{Cc}\p{Cs}]*$/u;

export function isLevel(text: string): boolean {
  return level.test(text);
}

export function hasSeparator(text: string): boolean {
  return separator.test(text);
}

/** As `storablePattern`, but for the way of a message: three times as fast. */
export function isStorable(text: string): boolean {
  return !control.test(text) && text.isWellFormed();
}

/** The topic of our own form (judge/topic.ts) on which a device speaks. */
export function ownTopic(tenantId: string, deviceId: string, msgType: string): string {
  return `tenant/${tenantId}/device/${deviceId}/${msgType}`;
}

/** The check of a setting that names a tenant. */
export const oneLevel = z.string().refine(isLevel, "one level of a topic: no /, + or #");
