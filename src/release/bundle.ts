/**
 * What is bundled into the executable besides our own code, for the notices and the bill of materials. Runs as a macro and in build.ts,
 * since only there node_modules is at hand: the closure of package.json's dependencies in bun.lock, each with its licence's own text.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX. */
  readonly license: string;
  /** Its licence as it ships it; "" if it ships none. */
  readonly text: string;
  /** As in bun.lock: sha512-… in base64. */
  readonly integrity: string;
}

type Locked = readonly [
  id: string,
  registry: string,
  more: { dependencies?: Record<string, string> },
  hash: string,
];
interface Lock {
  readonly workspaces: Readonly<Record<string, { readonly dependencies?: Record<string, string> }>>;
  readonly packages: Readonly<Record<string, Locked>>;
}

const root = join(import.meta.dir, "../..");

export function bundledPackages(): BundledPackage[] {
  const lock = Bun.JSONC.parse(readFileSync(join(root, "bun.lock"), "utf8")) as Lock;
  const found = new Map<string, BundledPackage>();
  const visit = (name: string, within: string) => {
    const key = `${within}/${name}` in lock.packages ? `${within}/${name}` : name;
    const locked = lock.packages[key];
    if (locked === undefined || found.has(key)) return;
    found.set(key, described(key, locked));
    for (const dependency of Object.keys(locked[2].dependencies ?? {})) visit(dependency, key);
  };
  for (const name of Object.keys(lock.workspaces[""]?.dependencies ?? {})) visit(name, "");
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function described(key: string, [id, , , integrity]: Locked): BundledPackage {
  const folder = join(root, "node_modules", nested(key));
  const { license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { license?: string };
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  const at = id.lastIndexOf("@");
  return {
    name: id.slice(0, at),
    version: id.slice(at + 1),
    license: license ?? "unknown",
    text: file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim(),
    integrity,
  };
}

/** bun.lock writes a package within another as parent/name, with scopes of two parts. */
function nested(key: string): string {
  const parts = key.match(/@[^/]+\/[^/]+|[^/]+/g) ?? [];
  return parts.join("/node_modules/");
}
