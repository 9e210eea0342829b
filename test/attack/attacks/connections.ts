/** Connections that say nothing, or half of something. */
import type { Attack } from "../attack.ts";
import { open } from "../wire.ts";

const holdMs = 4000;

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
];
