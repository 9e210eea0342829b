/**
 * Some of several nodes behind one address are faulty, so that requests fail at random: no good line becomes a dead
 * letter.
 */
import { expect, test } from "bun:test";
import { events } from "../contract/entries.ts";
import { startInflux3 } from "../kit/influx3.ts";
import { openInflux } from "../kit/influxsink.ts";

/** Mulberry32: the same numbers from 0 to 1 in each run. */
function random(seed: number) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const runs = 10;
const lines = 200;

test.each([
  { status: 500, share: 0.5 },
  { status: 500, share: 0.7 },
  { status: 500, share: 0.9 },
  { status: 400, share: 0.5 },
  { status: 400, share: 0.7 },
  { status: 400, share: 0.9 },
])("HTTP $status to a share of $share of the requests", async ({ status, share }) => {
  const next = random(9);
  for (let run = 0; run < runs; run += 1) {
    const fault = () => (next() < share ? { status, text: "<html>ill</html>" } : null);
    const server = await startInflux3({ fault });
    const influx = openInflux({ url: server.url });
    await influx.persist(events(1, lines));
    expect([...influx.refused]).toEqual([]);
    expect(server.stored()).toBe(lines);
    await influx.dispose();
    await server.stop();
  }
});
