/**
 * `bun run bench`: the whole way of a message, each figure beside its floors and peers of the same run, in one table of Markdown; and the
 * benches of one part. Machines are noisy: read the ratios, and run it twice before you believe a difference. RESULTS.md keeps what is claimed.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import * as auth from "./auth.ts";
import * as backlog from "./backlog.ts";
import { limited } from "./cores.ts";
import { type Figure, type Report, reportOf, tableOf } from "./figures.ts";
import * as http from "./http.ts";
import * as influx from "./influx.ts";
import * as kafka from "./kafka.ts";
import * as redis from "./redis.ts";
import { ingest, startSite } from "./ingest.ts";
import { live } from "./live.ts";
import { usualLoad } from "./load.ts";
import * as mappings from "./mappings.ts";
import * as page from "./page.ts";
import { scaling, scalingAxes } from "./scaling.ts";
import * as soak from "./soak.ts";
import { executable } from "../kit/gateway.ts";
import { peersIn } from "./peers.ts";
import { endsWithUs } from "./process.ts";
import { type Base, sluiceSubject, type Subject } from "./subject.ts";

const usage = `bun run bench [ingest] [live] [scaling] [options]: all three, if none is named
  --binary FILE     an executable to measure; several alternate in one run    [dist/sluice]
  --messages N      of one backlog                                            [300000]
  --bytes N         of a payload; the scaling bench has sizes of its own      [300]
  --rounds N        each with a fresh process and database per executable     [3]
  --rates A,B,…     messages per second of the live bench                     [100,1000,10000]
  --seconds N       at each rate, twice                                       [8]
  --size-max N      the largest size of the scaling bench, up to 1000000        [10000]
  --axes A,B,…      what grows in it                                          [${scalingAxes.join(",")}]
  --peers DIR       folder with executables of peers (telegraf, bento)
  --cpu-prof DIR    a profile of each gateway, as Markdown and for a browser's developer tools
  --cores X         of them for each subject, such as 0.25 (a cgroup, as root)
  --busy N          endless loops beside it, as on a busy machine              [0]
  --json            the report as JSON, every value of it
  --from FILE       the table of such a report, without measuring
  --compare FILE    an earlier report: what is now, of what was then
bun run bench auth | backlog | http | influx | kafka | mappings | page | redis | soak [words]`;

/** Benches of one part, which print what they find. */
const parts: Readonly<Record<string, { run(words: readonly string[]): Promise<void> | void }>> = {
  mappings,
  page,
  auth,
  http,
  influx,
  kafka,
  redis,
  backlog,
  soak,
};

const { values, positionals } = given();
const env: Readonly<Record<string, string>> =
  values["cpu-prof"] === undefined
    ? {}
    : { BUN_OPTIONS: `--cpu-prof --cpu-prof-md --cpu-prof-dir=${resolve(values["cpu-prof"])}` };

const axes = values.axes.split(",");

const benches: Readonly<Record<string, (site: Base, subjects: readonly Subject[]) => Promise<Figure[]>>> = {
  ingest: (site, subjects) =>
    ingest(site, { subjects, messages: Number(values.messages), rounds: Number(values.rounds) }),
  live: (site, subjects) =>
    live(site, {
      subjects,
      rates: values.rates.split(",").map(Number),
      seconds: Number(values.seconds),
      flood: Number(values.messages) / 2,
    }),
  scaling: (site) =>
    scaling(site, {
      file: resolve(values.binary[0] ?? executable),
      env,
      messages: Number(values.messages),
      rounds: Number(values.rounds),
      sizeMax: Number(values["size-max"]),
      axes,
    }),
};

const [name = "", ...words] = positionals;
const part = parts[name];
if (values.help) console.log(usage);
else if (part) await part.run(words);
else {
  const unknown = positionals.find((which) => !(which in benches));
  if (unknown !== undefined) misused(`there is no bench ${unknown}`);
  const axis = axes.find((which) => !scalingAxes.includes(which));
  if (axis !== undefined) misused(`nothing is called ${axis} that grows`);
  await print();
}
process.exit(0);

function given() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        binary: { type: "string", multiple: true, default: [executable] },
        messages: { type: "string", default: "300000" },
        bytes: { type: "string", default: String(usualLoad.bytes) },
        rounds: { type: "string", default: "3" },
        rates: { type: "string", default: "100,1000,10000" },
        seconds: { type: "string", default: "8" },
        "size-max": { type: "string", default: "10000" },
        axes: { type: "string", default: scalingAxes.join(",") },
        "cpu-prof": { type: "string" },
        peers: { type: "string" },
        cores: { type: "string" },
        busy: { type: "string", default: "0" },
        from: { type: "string" },
        json: { type: "boolean", default: false },
        compare: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    return misused(error instanceof Error ? error.message : String(error));
  }
}

function misused(why: string): never {
  console.error(`error: ${why}\n\n${usage}`);
  process.exit(2);
}

async function measured(): Promise<Report> {
  const subjects = values.binary.map((file, i) =>
    sluiceSubject({ file: resolve(file), name: i === 0 ? "sluice" : `sluice ${i + 1}`, env }),
  );
  if (values.peers !== undefined) subjects.push(...peersIn(resolve(values.peers)));
  const cores = Number(values.cores ?? 0);
  const measurable = cores > 0 ? subjects.map((subject) => limited(subject, cores)) : subjects;
  for (let i = 0; i < Number(values.busy); i++)
    endsWithUs(Bun.spawn([process.execPath, "-e", "for (;;);"]).pid);
  const site = await startSite({ ...usualLoad, bytes: Number(values.bytes) });
  const figures: Figure[] = [];
  for (const bench of positionals.length > 0 ? positionals : Object.keys(benches))
    figures.push(...((await benches[bench]?.(site, measurable)) ?? []));
  await site.stop();
  return reportOf(figures, process.argv.slice(2));
}

async function print(): Promise<void> {
  const saved = async (file: string | undefined) =>
    file === undefined ? undefined : ((await Bun.file(file).json()) as Report);
  const report = (await saved(values.from)) ?? (await measured());
  const table = async () => tableOf(report, "sluice", await saved(values.compare));
  console.log(values.json ? JSON.stringify(report, null, 2) : await table());
}
