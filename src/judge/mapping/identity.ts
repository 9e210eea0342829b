/**
 * Identity: who sends, what, and where, as a mapping describes it: a level of the topic, a place in the payload, or
 * plain text.
 */
import type { DeviceId } from "../../core/device.ts";
import { isName, type Identity, type Spec } from "./spec.ts";
import { valueOf, written, type Scope } from "./value.ts";

export interface Who {
  /** "" if it is not known. */
  readonly tenantId: string;
  readonly deviceId: string;
  readonly msgType: string;
  /** null if the message names none. */
  readonly siteId: string | null;
  /** What does not fit; null if everything fits. */
  readonly why: string | null;
}

type Read = (scope: Scope) => string | null;

/** `speaker`: the device that proved itself at CONNECT; it stands in for what the mapping does not name. */
export function identityReader(spec: Spec): (scope: Scope, speaker: DeviceId | undefined) => Who {
  const [tenant, device, type, site] = (["tenant", "device", "type", "site"] as const).map((part) =>
    reader(spec, part),
  );
  const say = (part: Identity) => {
    const spelled = spec.identity[part];
    return spelled === undefined ? `it names no ${part}` : `${part} = ${written(spelled)} finds none`;
  };
  return (scope, speaker) => {
    const tenantId = tenant?.(scope) ?? speaker?.tenantId ?? "";
    const deviceId = device?.(scope) ?? speaker?.deviceId ?? "";
    const msgType = type?.(scope) ?? "telemetry";
    const siteId = site?.(scope) ?? null;
    let why: string | null = null;
    if (tenantId === "") why = say("tenant");
    else if (deviceId === "") why = say("device");
    else if (!isName("tenant", tenantId)) why = "its tenant is no name";
    else if (!isName("device", deviceId)) why = "its device is no name";
    else if (!isName("type", msgType)) why = "its type is no name";
    else if (siteId !== null && !isName("site", siteId)) why = "its site is no name";
    return { tenantId, deviceId, msgType, siteId, why };
  };
}

/** If a pointer finds nothing, the value at the top of the file is used. */
function reader({ identity, defaults, names }: Spec, part: Identity): Read | undefined {
  const spelled = identity[part];
  const fallback = part === "tenant" || part === "site" ? (defaults[part] ?? null) : null;
  if (spelled === undefined) return fallback === null ? undefined : () => fallback;
  const value = valueOf(spelled, names);
  return (scope) => textOf(value(scope)) ?? fallback;
}

/** null if it is not a name. A device's name may be a number. */
function textOf(value: unknown): string | null {
  if (typeof value === "string") return value === "" ? null : value;
  return typeof value === "number" || typeof value === "bigint" ? String(value) : null;
}
