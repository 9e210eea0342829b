/**
 * What this host's unit gives the service: the files of its EnvironmentFile=, its Environment= and its credentials.
 * With it, a command that root runs beside the service works on the service's data, and not on a new local store.
 *
 * The unit's files are read directly. Rejected alternative: to query systemctl, because a command would have to wait
 * for it, and it does not escape values in a consistent way. Drop-ins count as in systemd: later ones add, an empty
 * value resets.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface UnitEnvironment {
  /** Environment=, with %d replaced by the path of the credentials. */
  readonly values: ReadonlyMap<string, string>;
  /** The files of EnvironmentFile= that exist; they take precedence over `values`. */
  readonly files: readonly string[];
  /** LoadCredential=: id → the file to read, unless it does not exist and SetCredential= has something instead. */
  readonly credentials: ReadonlyMap<string, string>;
  /** The directories in which the service may write; undefined: wherever its user may. */
  readonly writable: readonly string[] | undefined;
}

const unitName = "sluice.service";
const unitDirs = [
  "etc/systemd/system",
  "run/systemd/system",
  "usr/local/lib/systemd/system",
  "usr/lib/systemd/system",
  "lib/systemd/system",
];

/** Returns undefined if there is no such unit. @param root for tests: another directory than / */
export function unitEnvironment(root = "/"): UnitEnvironment | undefined {
  const dirs = unitDirs.map((dir) => join(root, dir));
  const unit = dirs.map((dir) => join(dir, unitName)).find(existsSync);
  if (unit === undefined) return undefined;
  const lines = [unit, ...dirs.flatMap((dir) => dropIns(join(dir, `${unitName}.d`)))].flatMap(serviceLines);
  const instead = new Set(listOf(lines, "SetCredential").map((said) => said.split(":")[0] ?? ""));
  const named = new Map(listOf(lines, "LoadCredential").map((said) => credentialOf(root, said) ?? ["", ""]));
  const credentials = new Map([...named].filter(([id, path]) => existsSync(path) || !instead.has(id)));
  const values = listOf(lines, "Environment")
    .flatMap(splitWords)
    .flatMap((word) => assignmentOf(word, credentials));
  const files = listOf(lines, "EnvironmentFile")
    .map((path) => join(root, path.replace(/^-/, "")))
    .filter(existsSync);
  return { values: new Map(values), files, credentials, writable: writableOf(lines) };
}

function writableOf(lines: readonly string[]): readonly string[] | undefined {
  if (listOf(lines, "ProtectSystem").at(-1) !== "strict") return undefined;
  const words = (name: string) => listOf(lines, name).flatMap((said) => said.split(/\s+/));
  return [
    ...words("StateDirectory").flatMap((name) => [`/var/lib/${name}`, `/var/lib/private/${name}`]),
    ...words("ReadWritePaths").map((path) => path.replace(/^[-+]+/, "")),
    ...words("BindPaths").map((path) => path.replace(/^-/, "").split(":")[1] ?? path),
  ];
}

function dropIns(dir: string): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((name) => name.endsWith(".conf"))
    .toSorted()
    .map((name) => join(dir, name));
}

/** The lines `NAME=value` of the section [Service]; a line that ends with \\ continues in the next. */
function serviceLines(path: string): string[] {
  let section = "";
  return readFileSync(path, "utf8")
    .replaceAll(/\\\n/g, " ")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => {
      if (line.startsWith("[")) section = line;
      return section === "[Service]" && !/^[[#;]/.test(line);
    });
}

function listOf(lines: readonly string[], name: string): string[] {
  const list: string[] = [];
  for (const line of lines.filter((each) => each.startsWith(`${name}=`))) {
    const said = line.slice(name.length + 1).trim();
    if (said === "") list.length = 0;
    else list.push(said);
  }
  return list;
}

/**
 * The file from which it is loaded, as the next start will find it; if that is not known (systemd searches for a name
 * without "/"), the copy that the running service has.
 */
function credentialOf(root: string, said: string): [id: string, path: string] | undefined {
  const [id = "", path = ""] = said.split(/:(.*)/s);
  if (path.startsWith("/")) return [id, join(root, path)];
  const loaded = join(root, "run/credentials", unitName, id);
  return existsSync(loaded) ? [id, loaded] : undefined;
}

/** Splits Environment=, which holds several assignments, each of which may be quoted. */
function splitWords(said: string): string[] {
  return [...said.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double?.replaceAll(/\\(.)/g, "$1") ?? single ?? bare ?? "",
  );
}

function assignmentOf(word: string, credentials: ReadonlyMap<string, string>): [string, string][] {
  const at = word.indexOf("=");
  if (at <= 0) return [];
  const value = word
    .slice(at + 1)
    .replace(
      /^(?:%d|\$\{CREDENTIALS_DIRECTORY\})\/(.+)$/,
      (whole, id: string) => credentials.get(id) ?? whole,
    )
    .replaceAll("%%", "%");
  return [[word.slice(0, at), value]];
}
