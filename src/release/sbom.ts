/** The bill of materials (CycloneDX 1.6, JSON): every package of bun.lock that is in the executable, and the runtime around it. */
import type { BundledPackage } from "./bundle.ts";

export function sbom(version: string, packages: readonly BundledPackage[]): string {
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": `sluice@${version}`,
        name: "sluice",
        version,
        licenses: [{ license: { id: "Apache-2.0" } }],
      },
    },
    components: [
      { type: "framework", "bom-ref": `bun@${Bun.version}`, name: "bun", version: Bun.version },
      ...packages.map(componentOf),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function componentOf({ name, version, license, integrity }: BundledPackage): object {
  const [, base64 = ""] = integrity.split("-");
  return {
    type: "library",
    "bom-ref": purlOf(name, version),
    name,
    version,
    purl: purlOf(name, version),
    // An expression ("MIT OR Apache-2.0") is no id.
    licenses: [/\s/.test(license) ? { expression: license } : { license: { id: license } }],
    hashes: [{ alg: "SHA-512", content: Buffer.from(base64, "base64").toString("hex") }],
  };
}

/** https://github.com/package-url/purl-spec: the @ of a scope is encoded. */
function purlOf(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}
