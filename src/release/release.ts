/**
 * All files of a release into one folder: the executable for each target, tar.gz, .deb and .rpm, the bill of materials and SHA256SUMS.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { bundledPackages } from "./bundle.ts";
import { debPackage, type PackageTexts, rpmPackage, run, type Target } from "./packages.ts";
import { sbom } from "./sbom.ts";

/** As Bun calls them, without its "bun-". Packages are made of the two that are for any processor of theirs and glibc. */
export const targets = [
  "linux-x64",
  "linux-x64-baseline",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
] as const;

const packaged: { readonly [K in (typeof targets)[number]]?: Target } = {
  "linux-x64-baseline": { deb: "amd64", rpm: "x86_64" },
  "linux-arm64": { deb: "arm64", rpm: "aarch64" },
};

const root = join(import.meta.dir, "../..");

export interface ReleaseOrder {
  readonly outDir: string;
  readonly epochSeconds: number;
  /** Builds one executable. */
  build(target: string, outfile: string): Promise<void>;
  say(line: string): void;
}

export async function release({ outDir, epochSeconds, build, say }: ReleaseOrder): Promise<void> {
  const workDir = mkdtempSync(join(tmpdir(), "sluice-release-"));
  mkdirSync(outDir, { recursive: true });
  try {
    const texts = textsOf();
    const files: string[] = [];
    const made = (file: string) => {
      files.push(file);
      say(sized(file));
    };
    for (const target of targets) {
      const program = join(workDir, target, "sluice");
      await build(target, program);
      made(tarball({ target, program, outDir, epochSeconds, version: texts.version }));
      const architecture = packaged[target];
      if (architecture === undefined) continue;
      const order = { program, target: architecture, texts, outDir, workDir, epochSeconds };
      made(debPackage(order));
      made(rpmPackage(order));
    }
    const bill = join(outDir, `sluice-${texts.version}.cdx.json`);
    writeFileSync(bill, sbom(texts.version, bundledPackages()));
    made(bill);
    const sums = files.map((file) => `${sha256(file)}  ${basename(file)}\n`).toSorted();
    writeFileSync(join(outDir, "SHA256SUMS"), sums.join(""));
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

interface TarballOrder {
  readonly target: string;
  readonly program: string;
  readonly outDir: string;
  readonly epochSeconds: number;
  readonly version: string;
}

/** The executable, its licence and what to read first; times and owners are always the same. */
function tarball({ target, program, outDir, epochSeconds, version }: TarballOrder): string {
  const folder = `sluice-${version}-${target}`;
  const dir = join(dirname(program), folder);
  mkdirSync(dir);
  cpSync(program, join(dir, "sluice"));
  for (const name of ["LICENSE", "README.md", "CHANGELOG.md", "docs"])
    cpSync(join(root, name), join(dir, name), { recursive: true });
  const file = join(outDir, `${folder}.tar.gz`);
  const words = [
    "--sort=name",
    `--mtime=@${epochSeconds}`,
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mode=u=rwX,go=rX",
  ];
  const packed = ["--use-compress-program=gzip -n -6", "-cf", file, "-C", dirname(dir), folder];
  run(["tar", ...words, ...packed], epochSeconds);
  rmSync(dir, { recursive: true });
  return file;
}

/** What the program itself prints, asked of its source: a build for another processor does not run here. */
export function textsOf(): PackageTexts {
  const says = (...words: string[]) => {
    const asked = Bun.spawnSync([process.execPath, join(root, "src/main.ts"), ...words], {
      env: { PATH: process.env["PATH"] },
    });
    if (!asked.success) throw new Error(`sluice ${words.join(" ")}: ${asked.stderr.toString().trim()}`);
    return asked.stdout.toString();
  };
  return {
    version: (JSON.parse(says("help", "version", "--json")) as { version: string }).version,
    unit: says("help", "systemd"),
    settings: says("help", "environment"),
    man: says("help", "man"),
    bash: says("completion", "bash"),
    zsh: says("completion", "zsh"),
    fish: says("completion", "fish"),
    copyright: `${readFileSync(join(root, "LICENSE"), "utf8")}\n${says("help", "licenses")}`,
    changelog: readFileSync(join(root, "CHANGELOG.md"), "utf8"),
  };
}

/** A file and its size, for whoever builds: a bill of materials is no "0.0 MB". */
export function sized(file: string): string {
  const bytes = statSync(file).size;
  return bytes < 1e6
    ? `${file} (${(bytes / 1e3).toFixed(1)} kB)`
    : `${file} (${(bytes / 1e6).toFixed(1)} MB)`;
}

function sha256(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}
