/** Connections that say nothing, or half of something. */
import type { Attack } from "../attack.ts";
import { open } from "../wire.ts";

const holdMs = 4000;

/** Lines of the log with this in them. */
const linesWith = (log: string, text: string) => log.split("\n").filter((line) => line.includes(text)).length;

export const connectionAttacks: readonly Attack[] = [
  {
    name: "tls-silent",
    says: "opens connections at the TLS port and says nothing",
    who: "anybody who reaches the TLS port",
    costs: "a connection each, no credentials",
    auth: true,
    files: 512,
    few: 600,
    many: 3000,
    async run(target, times) {
      const sockets = [];
      for (let i = 0; i < times; i++) sockets.push(await open(target, target.tlsPort));
      await Bun.sleep(holdMs);
      return sockets.length;
    },
  },
  {
    name: "http-slow",
    says: "sends HTTP requests without their end",
    who: "anybody who reaches the HTTP port",
    costs: "a connection each",
    few: 200,
    many: 2000,
    async run(target, times) {
      for (let i = 0; i < times; i++) {
        (await open(target, target.httpPort)).write("GET /stats HTTP/1.1\r\nHost: x\r\nX-Slow: ");
      }
      await Bun.sleep(holdMs / 2);
      return times;
    },
  },
  {
    name: "http-cut",
    says: "cuts HTTP requests off in the middle",
    who: "anybody who reaches the HTTP port",
    costs: "a connection each",
    few: 500,
    many: 3_000,
    async run(target, times) {
      const half =
        "POST /admin/devices HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{";
      for (let i = 0; i < times; i++) {
        const socket = await open(target, target.httpPort);
        await new Promise<void>((done) => void socket.write(half, () => done()));
        socket.destroy();
      }
      await Bun.sleep(1000);
      return times;
    },
    also: (_, gateway) => {
      const errors = linesWith(gateway.log(), "an HTTP request ended with an unexpected error");
      return errors > 5 ? [`${errors} lines of the log are errors of cut requests`] : [];
    },
  },
];
