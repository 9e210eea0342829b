/** The contract between a source of messages and the gateway. */
import type { MemoryBound } from "./memory/bound.ts";
import type { Clock } from "./clock.ts";
import type { DeviceId } from "./device.ts";
import type { Kind } from "./kind.ts";
import type { ListenAddress } from "./net/listen.ts";
import type { Log } from "./log/log.ts";
import type { Intake, Message } from "./message.ts";
import type { Settings, Values } from "./settings.ts";

export interface SourceStatus {
  /** The name of its kind. */
  readonly kind: string;
  readonly connected: boolean;
  /** One sentence for `/readyz`, `check` and the log: what is wrong, or what it is connected to. No secrets. */
  readonly detail: string;
  /** Connections lost since start. */
  readonly reconnects: number;
  /** Messages received whose acknowledgement has not been sent. */
  readonly unacknowledged: number;
}

/** One over which a device proved who it is. */
export interface Connection {
  /** The address that it comes from. */
  readonly remote: string;
  readonly sinceMs: number;
}

export interface Source {
  /** Begins to deliver. Resolves when ready to be used; a broker that is away is no error (it retries for ever). */
  start(intake: Intake): Promise<void>;
  /** These messages, all of them this source's, are durable (or known to be so already): acknowledge them. In the order of receipt per sender. */
  durable(messages: readonly Message[]): void;
  /** Drops the connections there are, so that what is not acknowledged is delivered again. The last resort of the watchdog. */
  reconnect(): void;
  /** Waits no longer for its next try to connect: what it lacked, such as a password, may have been corrected. */
  retryNow?(): void;
  /** Stops taking messages; acknowledgements still go out. */
  stopIntake(): Promise<void>;
  /** Sends what acknowledgements are due and closes. */
  close(): Promise<void>;
  /** What only this source counts may stand beside it, for `/stats` (snake_case). */
  status(): SourceStatus;
  /** The names in its status that only grow, beside `reconnects`. */
  readonly counters?: readonly string[];
  /** The registry says something new of these devices (absent: of all). For a source that asks devices for proof at the door. */
  recheck?(isMeant?: (tenantId: string, deviceId: string) => boolean): void;
  /** Those of this device, the oldest first. Of a source that asks devices for proof at the door. */
  connectionsOf?(device: DeviceId): readonly Connection[];
  /** Certificates and keys may have been renewed: reads them again. */
  renewTls?(): void;
  /** Publishes this status, retained, under STATUS_TOPIC; the last one again whenever it connects. Of a source that speaks MQTT. */
  announce?(status: string): void;
  /** Where devices connect to it; only of a source that listens, once it was started. */
  address?(): ListenAddress;
}

/** Does this token belong to this device? Rejects if the registry cannot tell now. */
export type Authenticate = (tenantId: string, deviceId: string, token: string) => Promise<boolean>;

/**
 * Whose token is this? The device may speak; null: nobody's, or of one that may not; "several": of more than one device.
 * Rejects if the registry cannot tell now.
 */
export type OwnerOf = (token: string) => Promise<DeviceId | "several" | null>;

/** Who proved himself at CONNECT, and the SHA-256 (lower-case hex) of the token that he proved it with; null: with a certificate. */
export interface Proof extends DeviceId {
  readonly tokenHash: string | null;
}

/** Would this proof be taken today? Rejects if the registry cannot tell now. */
export type StillProves = (proof: Proof) => Promise<boolean>;

/** Topics beside our own that are understood (MAPPINGS_FILE). */
export interface Mapped {
  /** As filters to subscribe to. */
  readonly filters: readonly string[];
  takes(topic: string): boolean;
}

/** Health over MQTT. */
export interface StatusTopic {
  readonly topic: string;
  /** What the broker publishes there, retained, if we go without a goodbye. */
  readonly lastWill: string;
}

/** What a source is made of. */
export interface SourceParts<V> {
  /** Not to be taken apart: secrets are renewed in it while the gateway runs. */
  readonly settings: V;
  /** No other source is asked for, which would need descriptors of its own. */
  readonly isAlone: boolean;
  readonly gatewayId: string;
  /** Where it may keep a file of its own. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly authenticate: Authenticate;
  readonly ownerOf: OwnerOf;
  readonly stillProves: StillProves;
  /** A payload as others may see it. */
  readonly withoutTokens: (payload: Uint8Array) => Uint8Array;
  /** MAX_PAYLOAD_BYTES as it is now. Of a larger payload only the beginning is kept. */
  readonly payloadBytesMax: () => number;
  readonly mapped: Mapped;
  /** Absent: health is not published. */
  readonly statusTopic?: StatusTopic | undefined;
  /** How far each log was read by the messages that are durable; see `Mark`. */
  readonly marks: ReadonlyMap<string, string>;
}

/** A row of the list of sources (source/index.ts). */
export interface SourceKind<S extends Settings = Settings> extends Kind<S> {
  /** Do the settings ask for one? @param earlier names of those before it in the list that are asked for */
  isAsked(values: Values<S>, earlier: readonly string[]): boolean;
  /** Connects to nothing yet. @throws if the settings cannot be used */
  open(parts: SourceParts<Values<S>>): Source;
  /** What it may hold in memory besides the messages that the intake holds. Absent: next to nothing. */
  memory?(values: Values<S>): readonly MemoryBound[];
  /** Can it be used? One sentence; throws one that says what is wrong. For `check`: it must not disturb a gateway that runs. */
  probe(values: Values<S>): Promise<string>;
}

/** A kind whose members know its own settings. */
export function sourceKind<const N extends string, S extends Settings>(
  kind: SourceKind<S> & { readonly name: N },
): SourceKind<S> & { readonly name: N } {
  return kind;
}
