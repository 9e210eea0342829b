/**
 * Builds dist/sluice: one executable with everything in it, version, commit and its time stamped in.
 *
 *   bun run build.ts [--target=linux-arm64] [--outfile=dist/sluice]
 *   bun run build.ts --all                                             every file of a release, into dist/release
 *
 * Both autoload switches are off: a .env or bunfig.toml that lies in the working directory of a gateway must change
 * nothing. Bytecode wants ESM here, since the default (CommonJS) has no top-level await; it brings the start from 52 ms to 17 ms.
 */
import { parseArgs } from "node:util";
import { release, sized, targets } from "./src/release/release.ts";

/** "" where there is no git, or no commit. */
function git(...words: string[]): string {
  try {
    const asked = Bun.spawnSync(["git", ...words], { cwd: import.meta.dir, stderr: "ignore" });
    return asked.success ? asked.stdout.toString().trim() : "";
  } catch {
    return "";
  }
}

/**
 * The image and other builds without .git hand both on, in SLUICE_COMMIT and SOURCE_DATE_EPOCH. The time is the commit's and not
 * that of the build, so that one commit gives one executable. "0": not known.
 */
const commit = process.env["SLUICE_COMMIT"] || git("rev-parse", "--short=12", "HEAD") || "unknown";
const commitSeconds = process.env["SOURCE_DATE_EPOCH"] || git("log", "-1", "--format=%ct") || "0";
if (!/^\d{1,11}$/.test(commitSeconds)) {
  console.error(`SOURCE_DATE_EPOCH=${commitSeconds} must be a whole number: seconds since 1970`);
  process.exit(1);
}

/**
 * Libraries that ask where they lie get a place within the executable. Otherwise the bundler writes the folder of this build into it,
 * and another clone of the same commit gives other bytes.
 */
const placesInside = { __dirname: '"/$bunfs/root"', __filename: '"/$bunfs/root/sluice"' };

/** @throws one sentence for a word that is no option */
function readOptions() {
  const { values } = parseArgs({
    options: {
      target: { type: "string" },
      outfile: { type: "string", default: "dist/sluice" },
      all: { type: "boolean", default: false },
    },
  });
  const target = values.target?.replace(/^bun-/, "");
  if (target !== undefined && !targets.some((known) => known === target))
    throw new Error(`--target=${values.target} is none of ${targets.join(", ")}`);
  if (values.all && target !== undefined)
    throw new Error("--all builds for every target: leave out --target");
  return { ...values, target };
}

/** @throws with the bundler's words, or for a target that Bun does not have */
async function build(outfile: string, target?: string): Promise<void> {
  const built = await Bun.build({
    entrypoints: [`${import.meta.dir}/src/main.ts`],
    compile: {
      outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      ...(target === undefined ? {} : { target: `bun-${target}` as Bun.Build.CompileTarget }),
    },
    minify: true,
    bytecode: true,
    format: "esm",
    sourcemap: "linked",
    define: {
      SLUICE_COMMIT: JSON.stringify(commit),
      SLUICE_COMMIT_SECONDS: commitSeconds,
      ...placesInside,
    },
    throw: false,
  });
  for (const line of built.logs) console.error(line);
  if (!built.success) throw new Error(`${outfile} cannot be built`);
}

try {
  const { all, outfile, target } = readOptions();
  if (all) {
    const order = { outDir: "dist/release", epochSeconds: Number(commitSeconds), say: console.log };
    await release({ ...order, build: (one, path) => build(path, one) });
  } else {
    await build(outfile, target);
    console.log(sized(outfile));
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
