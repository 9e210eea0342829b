/** What a server can hold of an event, by its kind. */
import { isWithoutDatabases, type ApiKind } from "./api.ts";

export interface Grammar {
  /** The tenant is the first tag, for databases that tenants share. */
  readonly tenantTag: boolean;
  /** A string may have a line feed. InfluxDB reads it exactly; whatever reads line by line would write another series. */
  readonly lineFeed: boolean;
  /** Text is kept. VictoriaMetrics stores it as 0, so it is left out there. */
  readonly texts: boolean;
  /** Integers beyond 2^53 are kept. */
  readonly integers: boolean;
  /** Field names that differ only in case are one column. */
  readonly caseless: boolean;
  /** The earliest time it takes. */
  readonly fromMs: number;
  /** Two times are one for it if they are less than this apart, in ns. */
  readonly stepNs: number;
}

/** The years that 64-bit nanoseconds can hold begin in 1677. */
const earliestMs = -9_223_372_036_853;
/** QuestDB's own list; beyond 127 characters a name is refused too. */
const questName = /[./\\%:*'"()\-,?+~\p{Cc}\ufeff]|^timestamp$|^.{128}/iu;
/** It takes what follows a quote for text, up to the end of the line: the value is stored as 0, what is behind it not at all, and it says nothing. */
const victoriaName = /"/;

/** What the server can hold. A string may have a line feed only if the server is `proven`, for others split bodies there. */
export function grammarOf(kind: ApiKind | "file", proven: boolean, tenantTag: boolean): Grammar {
  return {
    tenantTag,
    lineFeed: proven && !isWithoutDatabases(kind),
    texts: kind !== "victoriametrics",
    integers: kind !== "victoriametrics",
    caseless: kind === "questdb",
    fromMs: isWithoutDatabases(kind) ? 0 : earliestMs,
    stepNs: stepNsOf(kind),
  };
}

/** Field names that only this server cannot have. */
export function badNameOf(kind: string): RegExp | null {
  if (kind === "victoriametrics") return victoriaName;
  return kind === "questdb" ? questName : null;
}

export function stepNsOf(kind: string): number {
  if (kind === "victoriametrics") return 1_000_000;
  return kind === "questdb" ? 1_000 : 1;
}
