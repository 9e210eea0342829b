/**
 * A device message as a source hands it over, and the contract between a source and the intake.
 *
 * The way of a message: source → Intake.receive → judge → spool group (one fsync) → Source.settled → PUBACK.
 * A source acknowledges nothing on its own: it waits until its message comes back in `settled`.
 */

export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** How large the payload was, if `payload` is only its beginning: the rest was let go, being more than is allowed. */
  readonly wholeBytes?: number | undefined;
  readonly qos: 0 | 1 | 2;
  /** The DUP flag of MQTT 5 §3.3.1.1: the sender tried to deliver this packet before. */
  readonly dup: boolean;
  /**
   * The broker we are a client of had kept it (MQTT 5 §3.3.1.3) and sends it because we subscribe: it may be a year old. At our own
   * broker a PUBLISH with the retain flag is an ordinary live message.
   */
  readonly retained: boolean;
  /** Whose packet identifiers these are: "" for the broker we are a client of, else the device's client id. */
  readonly sender: string;
  /** The packet identifier; 0 for QoS 0, which has none. */
  readonly packetId: number;
  /** Wall clock at arrival, milliseconds since the Unix epoch. Fixed once: it is the event time where a device sends none. */
  readonly receivedMs: number;
  /** The sender's connection ended, so that no acknowledgement can reach it. Absent: it sets DUP on what it sends again. */
  abandoned?(): boolean;
  /** For a source that passes messages on: false until the intake makes an event of it. Absent: the source does not ask. */
  accepted?: boolean;
}

export interface Intake {
  /** Takes a message. Never throws, never blocks; the message comes back through `Source.settled`. */
  receive(message: Message): void;
  /** True while the intake holds as much as it may: a source that can (QoS 0 has no window) should stop reading. */
  isFull(): boolean;
  /** Why nothing that comes can be written now; null while it can. */
  readonly held: string | null;
  /** Calls `resume` once when there is room again. */
  whenRoom(resume: () => void): void;
}

export interface SourceStatus {
  readonly kind: "mqtt" | "broker";
  readonly connected: boolean;
  /** One sentence for `/readyz`, `check` and the log: what is wrong, or what it is connected to. No secrets. */
  readonly detail: string;
  /** Connections lost since start. */
  readonly reconnects: number;
  /** Messages received whose acknowledgement has not been sent. */
  readonly unacknowledged: number;
}

export interface Source {
  /** Begins to deliver. Resolves when ready to be used; a far side that is away is no error (it retries for ever). */
  start(intake: Intake): Promise<void>;
  /** These messages are durable (or recognised as duplicates of durable ones): acknowledge them. In the order of receipt per sender. */
  settled(messages: readonly Message[]): void;
  /** Drops the connections there are, so that what is not acknowledged is delivered again. The last resort of the watchdog. */
  reconnect(): void;
  /** Stops taking messages; acknowledgements still go out. */
  stopIntake(): Promise<void>;
  /** Sends what acknowledgements are due and closes. */
  close(): Promise<void>;
  status(): SourceStatus;
}
