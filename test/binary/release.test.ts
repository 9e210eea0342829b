/** The packages and the bill of materials of a release, made of the executable that there is; dpkg installs it in a mount namespace of its own. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundledPackages } from "../../src/release/bundle.ts";
import { debPackage, type PackageOrder, rpmPackage } from "../../src/release/packages.ts";
import { sized, textsOf } from "../../src/release/release.ts";
import { sbom } from "../../src/release/sbom.ts";
import { executable } from "../kit/gateway.ts";
import lock from "../../bun.lock";

setDefaultTimeout(120_000);
const directory = mkdtempSync(join(tmpdir(), "sluice-release-test-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let order: PackageOrder;
beforeAll(() => {
  order = {
    program: executable,
    target: { deb: "amd64", rpm: "x86_64" },
    texts: textsOf(),
    outDir: directory,
    workDir: directory,
    epochSeconds: 1_795_000_000,
  };
});

/** What is packed does not matter here, and a hundred megabytes take long to be packed twice. */
function small(folder: string): PackageOrder {
  const dir = join(directory, folder);
  mkdirSync(dir);
  return { ...order, program: import.meta.path, outDir: dir, workDir: dir };
}

const output = (...words: string[]) => {
  const ran = Bun.spawnSync(words, { stdin: "ignore", env: { PATH: process.env["PATH"] } });
  return ran.stdout.toString() + ran.stderr.toString();
};
const installed = [
  "usr/bin/sluice",
  "usr/lib/systemd/system/sluice.service",
  "etc/sluice/sluice.env",
  "usr/share/man/man8/sluice.8.gz",
  "usr/share/bash-completion/completions/sluice",
  "usr/share/zsh/vendor-completions/_sluice",
  "usr/share/fish/vendor_completions.d/sluice.fish",
  "usr/share/doc/sluice/copyright",
  "usr/share/doc/sluice/CHANGELOG.md.gz",
];

const canUnshare = process.getuid?.() === 0 && Bun.spawnSync(["unshare", "--mount", "true"]).success;

test.skipIf(!canUnshare)(
  "the executable is the same bytes wherever the sources lie, and names no folder of the host that built it",
  () => {
    const sources = join(import.meta.dir, "../..");
    const elsewhere = mkdtempSync(join(tmpdir(), "sluice-sources-"));
    const builds = ["one", "two"].map((name) => join(directory, name, "sluice"));
    for (const [at, outfile] of [
      [sources, builds[0]],
      [elsewhere, builds[1]],
    ]) {
      const script = `mount --bind ${sources} ${elsewhere} && cd ${at} && ${process.execPath} run build.ts --outfile=${outfile}`;
      expect(output("unshare", "--mount", "sh", "-c", script)).toContain("MB)");
    }
    rmSync(elsewhere, { recursive: true });
    const [one = Buffer.of(), two] = builds.map((path) => readFileSync(path));
    expect(two?.equals(one)).toBe(true);
    expect(one.includes(`${sources}/node_modules`)).toBe(false);
  },
);

const noDpkg = Bun.which("dpkg-deb") === null ? "skipped: no dpkg-deb" : "";

describe.skipIf(noDpkg !== "")(`the Debian package ${noDpkg}`, () => {
  test("holds program, unit, settings, manual, completions and notices, and is the same twice", () => {
    const file = debPackage(small("deb-one"));
    const list = output("dpkg-deb", "--contents", file);
    for (const path of installed) expect(list).toContain(`./${path}\n`);
    expect(list).toMatch(/-rw-r----- root\/root .*sluice\.env\n/);
    expect(list).toMatch(/drwx------ root\/root .*etc\/sluice\/\n/);
    expect(output("dpkg-deb", "--info", file)).toContain("Architecture: amd64");
    const first = Bun.hash(readFileSync(file));
    process.umask(0o077);
    expect(Bun.hash(readFileSync(debPackage(small("deb-two"))))).toBe(first);
  });

  test("its changelog is one that Debian's tools read", () => {
    const file = debPackage(small("deb-changelog"));
    const text = output(
      "sh",
      "-c",
      `dpkg-deb --fsys-tarfile ${file} | tar -xO ./usr/share/doc/sluice/changelog.gz | gunzip`,
    );
    expect(text).toMatch(
      /^sluice \(\S+\) stable; urgency=medium\n\n {2}\* .+\n\n -- .+ <.+> {2}\w{3}, \d\d \w{3} \d{4} [\d:]+ \+0000\n$/,
    );
  });

  test.skipIf(!canUnshare)("dpkg installs it and takes it away again; settings stay until a purge", () => {
    const file = debPackage(order);
    const places = ["etc", "usr", "var"];
    const mounts = places.map((place) => {
      for (const part of ["up", "work"]) mkdirSync(join(directory, place, part), { recursive: true });
      const at = (part: string) => join(directory, place, part);
      return `mount -t overlay overlay -o lowerdir=/${place},upperdir=${at("up")},workdir=${at("work")} /${place}`;
    });
    const script = [
      ...mounts,
      "mount -t tmpfs tmpfs /run",
      `dpkg -i ${file}`,
      `touch /etc/systemd/system/sluice.service && dpkg -i ${file} && rm /etc/systemd/system/sluice.service`,
      "sluice --version && man -w sluice && test -e /etc/sluice/sluice.env",
      "dpkg -r sluice && test ! -e /usr/bin/sluice && test -e /etc/sluice/sluice.env",
      "dpkg --purge sluice && test ! -e /etc/sluice && test ! -L /etc/systemd/system/multi-user.target.wants/sluice.service && echo gone",
    ].join(" && ");
    const said = output("unshare", "--mount", "bash", "-c", script);
    expect(said).toContain("sluice 0.");
    expect(
      said.match(/runs in place of this package's; .*: \/usr\/local\/bin\/sluice uninstall /g),
    ).toHaveLength(1);
    // What goes to standard error (deb-systemd-helper names the link that it makes) comes after it.
    expect(said).toContain("\ngone\n");
  });
});

const noRpm = Bun.which("rpmbuild") === null ? "skipped: no rpmbuild (apt-get install rpm)" : "";
test.skipIf(noRpm !== "")(`the rpm holds the same, and is the same twice ${noRpm}`, () => {
  const file = rpmPackage(small("rpm-one"));
  process.umask(0o077);
  expect(readFileSync(rpmPackage(small("rpm-two"))).equals(readFileSync(file))).toBe(true);
  const list = output("rpm", "-qpl", file);
  for (const path of installed) expect(list).toContain(`/${path}\n`);
  expect(output("rpm", "-qp", "--scripts", file)).toContain("systemctl enable sluice");
  expect(output("rpm", "-qp", "--qf", "%{ARCH} %{LICENSE}", file)).toBe("x86_64 Apache-2.0");
});

test("the bill of materials lists every package of bun.lock that is in the executable, with the hash of its archive", () => {
  const bill = JSON.parse(sbom("1.2.3", bundledPackages())) as {
    components: { name: string; version: string; hashes?: { content: string }[] }[];
  };
  const listed = new Map(bill.components.map(({ name, version }) => [name, version]));
  for (const [name, version] of Object.entries(lock.workspaces[""]?.dependencies ?? {}))
    expect(listed.get(name)).toBe(version);
  expect(listed.get("bun")).toBe(Bun.version);
  expect(listed.has("fast-check")).toBe(false);
  for (const { name, hashes } of bill.components)
    if (name !== "bun") expect(hashes?.[0]?.content).toMatch(/^[0-9a-f]{128}$/);
});

test("every package from which the bundler took a file is in the bill of materials, in that version", () => {
  const map = `${executable}.map`;
  const { sources } = JSON.parse(readFileSync(map, "utf8")) as { sources: string[] };
  const folders = new Set(
    sources.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? []),
  );
  const taken = [...folders].map((folder) => {
    const file = join(import.meta.dir, "../..", folder, "package.json");
    const { name, version } = JSON.parse(readFileSync(file, "utf8")) as { name: string; version: string };
    return `${name} ${version}`;
  });
  const listed = new Set(bundledPackages().map(({ name, version }) => `${name} ${version}`));
  expect(taken.length).toBeGreaterThan(Object.keys(lock.workspaces[""]?.dependencies ?? {}).length);
  expect(taken.filter((one) => !listed.has(one))).toEqual([]);
});

test.each([
  [["--target=plan9-mips"], "--target=plan9-mips is none of linux-x64, linux-x64-baseline"],
  [["all"], "Unexpected argument 'all'"],
  [["--al"], "Unknown option '--al'"],
  [["--all", "--target=linux-x64"], "leave out --target"],
])("build.ts %p: one line says what is not understood", (words, says) => {
  const said = output(process.execPath, join(import.meta.dir, "../../build.ts"), ...words);
  expect(said).toContain(says);
  expect(said.trim().split("\n")).toHaveLength(1);
});

test("the size of a small file of the release is told as well as that of a large one", () => {
  const file = join(directory, "bill");
  writeFileSync(file, "x".repeat(37_754));
  expect(sized(file)).toBe(`${file} (37.8 kB)`);
  expect(sized(executable)).toMatch(/\(\d{2,3}\.\d MB\)$/);
});
