/**
 * Notifies systemd of the service's state (sd_notify(3)): ready, reloading, stopping, how it goes, and alive as long as
 * there is progress.
 *
 * It sends one datagram to NOTIFY_SOCKET through libc, because Bun has no datagram socket in the Unix domain.
 * Rejected alternative: systemd's own `systemd-notify`, which was used before, because it needs a descriptor and a
 * process at the very moment when a host has none left, and then the watchdog kills a gateway that makes progress.
 * Without NOTIFY_SOCKET nothing is done at all.
 */
import { ptr } from "bun:ffi";
import type { Clock } from "../../core/clock.ts";
import { libc } from "../../core/memory/libc.ts";
import { explain, type Log } from "../../core/log/log.ts";

export interface Systemd {
  /** state: "READY=1", "STOPPING=1", "WATCHDOG=1". */
  notify(state: string): void;
  /** Says that `run` reads the settings again, and afterwards that we are ready. */
  whileReloading(run: () => Promise<void>): Promise<void>;
  /** Shows `text` as the unit's status, as often as it changes. Returns a function that ends it. */
  show(text: () => string): () => void;
  /**
   * Feeds the unit's watchdog (WatchdogSec=) as long as `isProgressing` returns true. Returns a function that ends
   * it.
   */
  feed(isProgressing: () => boolean): () => void;
}

interface Options {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
}

export function systemdOf({ env, clock, log }: Options): Systemd {
  const path = env["NOTIFY_SOCKET"] ?? "";
  const watchdogMs = Number(env["WATCHDOG_USEC"] ?? 0) / 1000;
  // Opened at the start, and kept: systemd must hear especially from a host that has no descriptor left.
  const send = path === "" ? undefined : openSender(path, log);
  let said = false;

  function notify(state: string): void {
    const error = send?.send(state);
    if (error !== undefined && !said) log.warn({ error, state }, `systemd cannot be notified at ${path}`);
    said = error !== undefined;
  }

  function feed(isProgressing: () => boolean): () => void {
    if (send === undefined || !(watchdogMs > 0)) return () => {};
    const timer = clock.every(watchdogMs / 3, () => {
      if (isProgressing()) notify("WATCHDOG=1");
    });
    return () => timer.cancel();
  }

  async function whileReloading(run: () => Promise<void>): Promise<void> {
    notify(`RELOADING=1\nMONOTONIC_USEC=${send?.monotonicUs() ?? 0n}`);
    try {
      await run();
    } finally {
      notify("READY=1");
    }
  }

  function show(text: () => string): () => void {
    if (send === undefined) return () => {};
    let shown = "";
    const look = () => {
      const now = text();
      if (now !== shown) notify(`STATUS=${now}`);
      shown = now;
    };
    look();
    const timer = clock.every(showEveryMs, look);
    return () => timer.cancel();
  }

  return { notify, whileReloading, show, feed };
}

interface Sender {
  /** Sends a state. Returns what is wrong; undefined if it was sent. */
  send(state: string): string | undefined;
  /** CLOCK_MONOTONIC, by which systemd tells this reload from an earlier one; Bun's own clocks begin with the process. */
  monotonicUs(): bigint;
}

const showEveryMs = 5_000;

const afUnix = 1;
/** SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, of Linux. */
const datagram = 2 | 0o4000 | 0o2000000;
/** MSG_DONTWAIT | MSG_NOSIGNAL. */
const noWait = 0x40 | 0x4000;
/** CLOCK_MONOTONIC, of Linux. */
const clockMonotonic = 1;

function openSender(path: string, log: Log): Sender | undefined {
  try {
    const { socket, sendto, clock_gettime: getTime } = libc();
    const fd = socket(afUnix, datagram, 0);
    const address = addressOf(path);
    return {
      send(state) {
        if (fd < 0) return "no socket can be opened";
        const bytes = Buffer.from(state);
        const sent = sendto(fd, ptr(bytes), bytes.length, noWait, ptr(address), address.length);
        return Number(sent) === bytes.length ? undefined : "the socket does not take it";
      },
      monotonicUs() {
        const time = new BigInt64Array(2);
        getTime(clockMonotonic, ptr(time));
        const [seconds = 0n, ns = 0n] = time;
        return seconds * 1_000_000n + ns / 1_000n;
      },
    };
  } catch (error) {
    log.warn({ error: explain(error) }, "systemd cannot be notified: libc cannot be called");
    return undefined;
  }
}

/** unix(7): a path; or, after "@", an abstract name, which begins with a zero byte and has none at its end. */
function addressOf(path: string): Buffer {
  const name = path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`;
  return Buffer.concat([Buffer.from(new Uint16Array([afUnix]).buffer), Buffer.from(name)]);
}
