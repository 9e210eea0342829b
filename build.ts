/**
 * Builds dist/sluice: one executable with everything in it, version and commit stamped in.
 *
 *   bun run build.ts [--target=bun-linux-arm64] [--outfile=dist/sluice]
 *
 * Both autoload switches are off: a .env or bunfig.toml that lies in the working directory of a gateway must change
 * nothing. Bytecode wants ESM here, since the default (CommonJS) has no top-level await; it brings the start from 52 ms to 17 ms.
 */
import { parseArgs } from "node:util";

function commit(): string {
  const git = Bun.spawnSync(["git", "rev-parse", "--short=12", "HEAD"], {
    cwd: import.meta.dir,
    stderr: "ignore",
  });
  return git.success ? git.stdout.toString().trim() : "unknown";
}

/** The image and other builds without .git hand the commit on in SLUICE_COMMIT. */
function stamp(): string {
  if (process.env["SLUICE_COMMIT"]) return process.env["SLUICE_COMMIT"];
  try {
    return commit();
  } catch {
    return "unknown"; // git is not installed
  }
}

const { values } = parseArgs({
  options: { target: { type: "string" }, outfile: { type: "string", default: "dist/sluice" } },
});

const built = await Bun.build({
  entrypoints: [`${import.meta.dir}/src/main.ts`],
  compile: {
    outfile: values.outfile,
    autoloadDotenv: false,
    autoloadBunfig: false,
    ...(values.target === undefined ? {} : { target: values.target as Bun.Build.CompileTarget }),
  },
  minify: true,
  bytecode: true,
  format: "esm",
  sourcemap: "linked",
  define: { SLUICE_COMMIT: JSON.stringify(stamp()) },
  throw: false,
});

for (const line of built.logs) console.error(line);
if (!built.success) process.exit(1);
console.log(`${values.outfile} (${Math.round(Bun.file(values.outfile).size / 1e6)} MB)`);
