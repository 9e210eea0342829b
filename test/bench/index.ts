/**
 * `bun run bench <name> [words]`: the benches, each with its floors measured in the same run. Machines are noisy: read the
 * ratios, and run it twice before you believe a difference.
 */
import * as auth from "./auth.ts";
import * as backlog from "./backlog.ts";
import * as grow from "./grow.ts";
import * as http from "./http.ts";
import * as influx from "./influx.ts";
import * as kafka from "./kafka.ts";
import * as redis from "./redis.ts";
import * as ingest from "./ingest.ts";
import * as mappings from "./mappings.ts";
import * as soak from "./soak.ts";

const benches: Readonly<Record<string, { run(words: readonly string[]): Promise<void> | void }>> = {
  ingest,
  mappings,
  auth,
  grow,
  http,
  influx,
  kafka,
  redis,
  backlog,
  soak,
};

const [name = "", ...words] = process.argv.slice(2);
const bench = benches[name];
if (!bench) {
  console.error(`usage: bun run bench <${Object.keys(benches).join(" | ")}> [words]`);
  process.exit(2);
}
await bench.run(words);
process.exit(0);
