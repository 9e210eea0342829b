/** A bound TCP or TLS port that hands over sockets, bounded in number. */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { cannotListen } from "../../core/net/cannot-listen.ts";
import type { ListenAddress } from "../../core/net/listen.ts";
import type { TlsTexts } from "../../core/net/pem.ts";

export interface Listener {
  address(): ListenAddress;
  /** Shows those that connect from now on the certificate that there is now. */
  renew(): void;
  /** Takes no more connections; those that are there stay. */
  stop(): void;
}

export interface ListenerSpec {
  /** The setting, for the error message. */
  readonly setting: string;
  readonly where: ListenAddress;
  /** Absent: plain TCP. */
  readonly secured?: {
    /** Asked for at the start and at each `renew`. */
    readonly tls: () => TlsTexts;
    readonly noHandshake: (error: Error, socket: Socket) => void;
  };
  /** At the TCP accept; false: the connection was refused. */
  readonly enter: (socket: Socket) => boolean;
  /** MQTT may begin: at once, or after the TLS handshake. */
  readonly accept: (socket: Socket) => void;
  /** What does not end the listening: no descriptor for a connection, a certificate that is no use. */
  readonly failed: (error: Error) => void;
}

/** The kernel looks whether a silent peer is still there (a device may use no keep-alive of MQTT's own). */
const tcpKeepaliveMs = 60_000;

/** @throws if the port cannot be bound; the message names the setting and the fix. */
export async function listenOn(spec: ListenerSpec): Promise<Listener> {
  const { where, enter, accept, secured } = spec;
  const welcome = (socket: Socket) => {
    if (socket.destroyed) return;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, tcpKeepaliveMs);
    accept(socket);
  };
  const secure = secured && createTlsServer(askingForCertificates(secured.tls()), welcome);
  secure?.on("tlsClientError", (error, socket) => secured?.noHandshake(error, socket));
  const server: Server = secure ?? createServer();
  server.on("connection", (socket) => {
    if (enter(socket) && secure === undefined) welcome(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(cannotListen(spec.setting, where, cause)));
    server.listen(where.port, where.host, resolve);
  });
  // Later ones are of a single connection (no descriptor left for it), and must not end the process.
  server.on("error", spec.failed);
  return {
    address() {
      const bound = server.address();
      return typeof bound === "object" && bound !== null ? { host: bound.address, port: bound.port } : where;
    },
    renew() {
      try {
        secure?.setSecureContext(askingForCertificates(secured?.tls() ?? {}));
      } catch (error) {
        spec.failed(error instanceof Error ? error : new Error(String(error)));
      }
    },
    stop: () => void server.close(),
  };
}

/** With a CA every client is asked for a certificate; who has none, or another's, is for CONNECT to refuse, where it can be said why. */
function askingForCertificates(texts: TlsTexts): TlsOptions {
  return { ...texts, ...(texts.ca !== undefined && { requestCert: true, rejectUnauthorized: false }) };
}
