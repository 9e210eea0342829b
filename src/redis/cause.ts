/**
 * Why a connection to Redis fails, in the server's own words. Bun says "Connection closed" of a wrong password, of an unknown
 * CA and of TLS to a plain port alike; so after a failure a socket of our own logs in once and quotes what comes back.
 */
import type { Clock } from "../core/clock.ts";
import { explain } from "../core/log/log.ts";
import { unreachedText } from "../core/net/unreached.ts";
import type { Endpoint } from "./redis-settings.ts";

const answerWithinMs = 2_000;
const answerBytesMax = 512;

/** A sentence; undefined: this time it worked. */
export function causeOf(endpoint: Endpoint, clock: Clock): Promise<string | undefined> {
  const { host, port, socket: unix, tls } = endpoint;
  return new Promise((resolve) => {
    let heard = "";
    let isOpen = tls === undefined;
    let end = () => {};
    const report = (cause: string | undefined) => {
      timer.cancel();
      resolve(cause);
      end();
    };
    const timer = clock.after(answerWithinMs, () => report(unanswered(tls !== undefined && !isOpen)));
    const handlers: Bun.SocketHandler = {
      open(socket) {
        end = () => socket.end();
        if (tls === undefined) socket.write(greeting(endpoint));
      },
      handshake(socket, isGood, error) {
        if (!isGood || error)
          return report(`TLS: ${explain(error ?? new Error("the handshake did not succeed"))}`);
        isOpen = true;
        socket.write(greeting(endpoint));
      },
      data(_, piece) {
        heard += piece.toString("latin1").slice(0, answerBytesMax);
        const refusal = /(?:^|\n)-([^\r\n]*)/.exec(heard)?.[1];
        if (refusal !== undefined) report(refusal);
        else if (heard.includes("+PONG")) report(undefined);
        else if (heard.length >= answerBytesMax) report("what answers there is no Redis");
      },
      close: () => report("it closes the connection"),
      error: (_, error) => report(withCode(error)),
      connectError: (_, error) => report(withCode(error)),
    };
    const connecting =
      unix === undefined
        ? Bun.connect({
            hostname: host,
            port,
            socket: handlers,
            ...(tls && { tls: { ...tls, rejectUnauthorized: true, serverName: host } }),
          })
        : Bun.connect({ unix, socket: handlers });
    connecting.then(undefined, (error: unknown) => report(withCode(error)));
  });
}

/** Of a refusal and of a socket that is not there Bun says the same; only the code tells. */
function withCode(error: unknown): string {
  const [text, code] = [explain(error), String(Object(error)["code"] ?? "")];
  if (code === "ECONNREFUSED") return `it ${unreachedText}`;
  return text.includes(code) ? text : `${text} (${code})`;
}

function unanswered(isHandshake: boolean): string {
  return isHandshake
    ? `no TLS handshake within ${answerWithinMs} ms (does it speak TLS on that port?)`
    : `no answer within ${answerWithinMs} ms`;
}

function greeting({ username, password }: Endpoint): string {
  const login =
    password === undefined ? [] : ["AUTH", ...(username === undefined ? [] : [username]), password];
  return `${login.length > 0 ? encoded(login) : ""}${encoded(["PING"])}`;
}

/** RESP: an array of bulk strings. */
function encoded(words: readonly string[]): string {
  const bulks = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${bulks.join("")}`;
}
