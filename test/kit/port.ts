/**
 * A free port for a server that is told its port before it starts, or of which nobody shall listen.
 *
 * It lies outside the range from which the kernel takes ports for `listen(0)` and for outgoing connections, and is given once
 * per process: a port that the kernel had chosen could be anybody's again between its release and the start of the server.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

// A Redis Cluster takes the port that is 10,000 higher, too.
const [first, last] = [10_100, 55_535];
const candidates = outside(ofTheKernel());
/** Other test processes of this machine begin elsewhere. */
let at = Math.floor(Math.random() * candidates.length);

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < candidates.length; tries++) {
    const port = candidates[at++ % candidates.length] ?? first;
    if (await isFree(port)) return port;
  }
  throw new Error("no port is free");
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** ip(7), ip_local_port_range */
function ofTheKernel(): readonly [number, number] {
  const [from = 32_768, to = 60_999] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
    .trim()
    .split(/\s+/)
    .map(Number);
  return [from, to];
}

function outside([from, to]: readonly [number, number]): number[] {
  const all = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const free = all.filter((port) => port < from || port > to);
  return free.length > 0 ? free : all;
}
