/**
 * A TCP proxy that misbehaves on demand, for any protocol: it acts like a server that hangs, refuses or cuts the
 * line.
 */
import net, { type AddressInfo, type Socket } from "node:net";

/**
 * pass: as if it were not there. refuse: new connections are closed at once, old ones too. blackhole: accepts and keeps
 * everything, answers nothing (also on connections that stand). reset: as refuse, with RST. What a black hole swallowed is gone:
 * before passing again, cut.
 */
export type ProxyMode = "pass" | "refuse" | "blackhole" | "reset";

/** One connection through the proxy: the same object for all its pieces. */
export interface ProxiedConnection {
  cut(): void;
}

/** Sees (and may swallow, by returning false) a piece. */
export type Look = (piece: Buffer, connection: ProxiedConnection) => boolean | void;

export interface Proxy {
  readonly port: number;
  /** Connections accepted so far. */
  accepted(): number;
  mode(mode: ProxyMode): void;
  /** Delays everything in both directions. */
  delay(ms: number): void;
  /** The client's bytes are passed on at this many bytes per second. */
  throttle(bytesPerSecond: number): void;
  /** The same for what the server sends back. */
  throttleAnswers(bytesPerSecond: number): void;
  /** Cuts all connections, once. */
  cut(): void;
  /** Looks at each piece that the server sends back. */
  onAnswer(look: Look): void;
  /** The same for what the client sends. */
  onSend(look: Look): void;
  stop(): Promise<void>;
}

export async function startProxy(target: { host?: string; port: number }): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let mode: ProxyMode = "pass";
  let delayMs = 0;
  const bytesPerSecond = { sent: Number.POSITIVE_INFINITY, answered: Number.POSITIVE_INFINITY };
  let accepted = 0;
  let lookAnswer: Look = () => {};
  let lookSend: Look = () => {};

  function pipe(from: Socket, to: Socket, look: () => Look, connection: ProxiedConnection): void {
    from.on("data", (piece: Buffer) => {
      if (mode === "blackhole") return;
      if (look()(piece, connection) === false) return;
      if (delayMs === 0) to.write(piece);
      else setTimeout(() => to.writable && to.write(piece), delayMs);
    });
    from.on("error", () => {});
    // In a black hole not even the end of a connection comes through.
    from.on("end", () => mode !== "blackhole" && setTimeout(() => to.end(), delayMs));
    from.on("close", () => mode !== "blackhole" && !from.readableEnded && to.destroy());
  }

  // Whoever ends a connection hears of the other end once what he sent has been read there, as without a proxy.
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    accepted++;
    if (mode === "refuse" || mode === "reset") {
      close(near);
      return;
    }
    const far = net.connect({ host: "127.0.0.1", ...target, allowHalfOpen: true });
    const pair = [near, far] as const;
    const connection = { cut: () => pair.forEach(close) };
    pairs.add(pair);
    for (const socket of pair)
      socket.on("close", () => pair.every(({ destroyed }) => destroyed) && pairs.delete(pair));
    pipe(near, far, () => lookSend, connection);
    slow(near, "sent");
    pipe(far, near, () => lookAnswer, connection);
    slow(far, "answered");
  });

  function slow(from: Socket, way: keyof typeof bytesPerSecond): void {
    from.on("data", ({ length }: Buffer) => {
      if (bytesPerSecond[way] === Number.POSITIVE_INFINITY) return;
      from.pause();
      setTimeout(() => from.resume(), (length / bytesPerSecond[way]) * 1000);
    });
  }

  function close(socket: Socket): void {
    if (mode === "reset") socket.resetAndDestroy();
    else socket.destroy();
  }

  function cutAll(): void {
    for (const pair of pairs) pair.forEach(close);
    pairs.clear();
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    mode(wanted) {
      mode = wanted;
      if (wanted === "refuse" || wanted === "reset") cutAll();
    },
    throttle(rate) {
      bytesPerSecond.sent = rate;
    },
    throttleAnswers(rate) {
      bytesPerSecond.answered = rate;
    },
    delay(ms) {
      delayMs = ms;
    },
    cut: cutAll,
    onAnswer(look) {
      lookAnswer = look;
    },
    onSend(look) {
      lookSend = look;
    },
    async stop() {
      cutAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
