/**
 * The packages for Debian and for Red Hat's kind: made by dpkg-deb and rpmbuild, which every builder of such packages has or installs
 * with one command. (Rejected alternative: nfpm, which makes both, but wants Go at a version that Debian does not have.)
 *
 * Both hold the same tree: program, unit, a sample of settings, manual page, completions and notices. Times are the commit's, so that one
 * commit gives one package.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

export interface PackageTexts {
  readonly version: string;
  readonly unit: string;
  readonly settings: string;
  readonly man: string;
  readonly bash: string;
  readonly zsh: string;
  readonly fish: string;
  readonly copyright: string;
  readonly changelog: string;
}

export interface Target {
  /** As Debian and rpm call the architecture. */
  readonly deb: "amd64" | "arm64";
  readonly rpm: "x86_64" | "aarch64";
}

const summary = "On-site IoT ingest gateway";
const description =
  "Takes device messages over MQTT, HTTP or Kafka, makes them durable on local disk before it acknowledges them, and delivers them to PostgreSQL, InfluxDB, Redis and Kafka.";
const maintainer = "Sluice <maintainers@sluice.invalid>";
const home = "https://github.com/sluice/sluice";

/** @returns the tree of files that both packages install, under `dir` */
function layOut(dir: string, program: string, texts: PackageTexts): void {
  rmSync(dir, { recursive: true, force: true });
  // What a package installs has the modes of a package, whatever umask its builder has.
  process.umask(0o022);
  const put = (path: string, text: string | Uint8Array, mode = 0o644) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
    chmodSync(join(dir, path), mode);
  };
  put("usr/bin/sluice", readFileSync(program), 0o755);
  put(
    "usr/lib/systemd/system/sluice.service",
    texts.unit.replace("/usr/local/bin/sluice", "/usr/bin/sluice"),
  );
  put("etc/sluice/sluice.env", texts.settings, 0o640);
  for (const path of ["etc/sluice", "etc/sluice/credentials"]) {
    mkdirSync(join(dir, path), { recursive: true });
    chmodSync(join(dir, path), 0o700);
  }
  put("usr/share/man/man8/sluice.8.gz", gzipSync(texts.man, { level: 9 }));
  put("usr/share/bash-completion/completions/sluice", texts.bash);
  put("usr/share/zsh/vendor-completions/_sluice", texts.zsh);
  put("usr/share/fish/vendor_completions.d/sluice.fish", texts.fish);
  put("usr/share/doc/sluice/copyright", texts.copyright);
  put("usr/share/doc/sluice/CHANGELOG.md.gz", gzipSync(texts.changelog, { level: 9 }));
}

const unit = "sluice.service";
const saysWhy = `echo "sluice did not start: journalctl -u sluice says why" >&2`;

/** What `sluice install` wrote takes precedence over the package's unit, so that program would run on, whatever the package brings. One that is masked is no file. */
const saysWhatRuns = `if [ -f /etc/systemd/system/${unit} ]; then
  echo "sluice: /etc/systemd/system/${unit} (of sluice install) runs in place of this package's; to change over, settings and data stay: /usr/local/bin/sluice uninstall && systemctl enable --now sluice" >&2
fi
`;

/**
 * As debhelper writes them, so that dpkg's own records say whether an administrator disabled the service: an upgrade
 * then neither enables nor starts it.
 */
const maintainerScripts: Readonly<Record<string, string>> = {
  postinst: `#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
${saysWhatRuns}deb-systemd-helper unmask ${unit} >/dev/null || true
if deb-systemd-helper --quiet was-enabled ${unit}; then
  deb-systemd-helper enable ${unit} >/dev/null || true
else
  deb-systemd-helper update-state ${unit} >/dev/null || true
fi
if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
  deb-systemd-invoke "$([ -n "$2" ] && echo restart || echo start)" ${unit} >/dev/null || ${saysWhy}
fi
`,
  prerm: `#!/bin/sh
set -e
[ "$1" = remove ] && [ -d /run/systemd/system ] && deb-systemd-invoke stop ${unit} >/dev/null
exit 0
`,
  // What no sink has taken is lost with it, so only a purge does that. The place at which a disk is mounted cannot be removed, as rm says.
  postrm: `#!/bin/sh
set -e
if [ "$1" = purge ]; then
  rm -rf /etc/sluice /var/lib/sluice /var/lib/private/sluice || true
  [ ! -x /usr/bin/deb-systemd-helper ] || deb-systemd-helper purge ${unit} >/dev/null || true
fi
[ -d /run/systemd/system ] && systemctl --system daemon-reload >/dev/null
exit 0
`,
};

/** rpm passes how many of the package there will be: 1 at the first installation. */
const rpmStarted = `${saysWhatRuns}if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if [ "$1" = 1 ]; then
    systemctl enable sluice
    systemctl start sluice || ${saysWhy}
  else
    systemctl try-restart sluice || ${saysWhy}
  fi
fi
`;

export interface PackageOrder {
  readonly program: string;
  readonly target: Target;
  readonly texts: PackageTexts;
  /** Where to write it, and a folder for work in between. */
  readonly outDir: string;
  readonly workDir: string;
  readonly epochSeconds: number;
}

/** @returns the file's path @throws with dpkg-deb's words */
export function debPackage({ program, target, texts, outDir, workDir, epochSeconds }: PackageOrder): string {
  const tree = join(workDir, `deb-${target.deb}`);
  layOut(tree, program, texts);
  const control = join(tree, "DEBIAN");
  mkdirSync(control);
  const lines = [
    "Package: sluice",
    `Version: ${texts.version}`,
    `Architecture: ${target.deb}`,
    `Maintainer: ${maintainer}`,
    "Section: net",
    "Priority: optional",
    "Depends: libc6 (>= 2.31)",
    `Homepage: ${home}`,
    `Description: ${summary}`,
    ...(description.match(/.{1,78}(?= |$)/g)?.map((line) => ` ${line.trim()}`) ?? []),
  ];
  writeFileSync(join(control, "control"), `${lines.join("\n")}\n`);
  writeFileSync(join(control, "conffiles"), "/etc/sluice/sluice.env\n");
  for (const [name, text] of Object.entries(maintainerScripts)) {
    writeFileSync(join(control, name), text);
    chmodSync(join(control, name), 0o755);
  }
  writeFileSync(
    join(tree, "usr/share/doc/sluice/changelog.gz"),
    gzipSync(debianChangelog(texts.version, epochSeconds), { level: 9 }),
  );
  setTimes(tree, epochSeconds);
  const file = join(outDir, `sluice_${texts.version}_${target.deb}.deb`);
  run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z6", "--build", tree, file], epochSeconds);
  return file;
}

/** In the form that Debian's tools read; ours is beside it. */
function debianChangelog(version: string, epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000).toUTCString().replace("GMT", "+0000");
  return `sluice (${version}) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- ${maintainer}  ${date}\n`;
}

/** @returns the file's path @throws with rpmbuild's words */
export function rpmPackage({ program, target, texts, outDir, workDir, epochSeconds }: PackageOrder): string {
  const tree = join(workDir, `rpm-${target.rpm}`);
  layOut(tree, program, texts);
  setTimes(tree, epochSeconds);
  const spec = join(workDir, `sluice-${target.rpm}.spec`);
  writeFileSync(spec, specText(tree, texts));
  const defines = {
    _rpmdir: outDir,
    _topdir: join(workDir, "rpmbuild"),
    _build_name_fmt: "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    _buildhost: "sluice",
    use_source_date_epoch_as_buildtime: "1",
    clamp_mtime_to_source_date_epoch: "1",
    // The program is a runtime with our code behind it: stripped, it would be the runtime alone.
    __os_install_post: "%{nil}",
    debug_package: "%{nil}",
    // Quick to make and to unpack on a small host, at a tenth more than xz.
    _binary_payload: "w6.gzdio",
    _build_id_links: "none",
  };
  const defined = Object.entries(defines).flatMap(([name, value]) => ["--define", `${name} ${value}`]);
  run(["rpmbuild", "-bb", "--quiet", "--target", `${target.rpm}-linux`, ...defined, spec], epochSeconds);
  return join(outDir, `sluice-${texts.version}-1.${target.rpm}.rpm`);
}

function specText(tree: string, { version }: PackageTexts): string {
  return `Name: sluice
Version: ${version}
Release: 1
Summary: ${summary}
License: Apache-2.0
URL: ${home}
AutoReqProv: no
%description
${description}
%install
cp -a ${tree}/. %{buildroot}/
%files
%defattr(-,root,root,-)
/usr/bin/sluice
/usr/lib/systemd/system/sluice.service
%dir %attr(0700,root,root) /etc/sluice
%dir %attr(0700,root,root) /etc/sluice/credentials
%config(noreplace) %attr(0640,root,root) /etc/sluice/sluice.env
/usr/share/man/man8/sluice.8.gz
/usr/share/bash-completion/completions/sluice
/usr/share/zsh/vendor-completions/_sluice
/usr/share/fish/vendor_completions.d/sluice.fish
/usr/share/doc/sluice
%post
${rpmStarted}%preun
[ "$1" = 0 ] && [ -d /run/systemd/system ] && systemctl disable --now sluice
exit 0
`;
}

function setTimes(path: string, seconds: number): void {
  for (const entry of readdirSync(path, { withFileTypes: true, recursive: true }))
    utimesSync(join(entry.parentPath, entry.name), seconds, seconds);
  utimesSync(path, seconds, seconds);
}

/** Runs a program that builds something. @throws with its words, or the package that brings it */
export function run(words: readonly string[], epochSeconds: number): void {
  const [program = ""] = words;
  if (Bun.which(program) === null)
    throw new Error(`${program} is not installed (Debian: apt-get install ${packageOf[program] ?? program})`);
  const env = {
    PATH: process.env["PATH"],
    HOME: process.env["HOME"],
    SOURCE_DATE_EPOCH: String(epochSeconds),
  };
  const ended = Bun.spawnSync([...words], { env, stdin: "ignore" });
  if (!ended.success) throw new Error(`${program}: ${ended.stderr.toString().trim()}`);
}

const packageOf: Readonly<Record<string, string>> = { "dpkg-deb": "dpkg", rpmbuild: "rpm" };
