/** compose.yml and Dockerfile by their text; test/image/run.sh builds and runs both where a Docker daemon may start. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { YAML } from "bun";
import { allSettings } from "../../src/config/tables.ts";
import manifest from "../../package.json";
import { root } from "../kit/documents.ts";

const read = (name: string) => readFileSync(join(root, name), "utf8");

interface Service {
  readonly environment?: Readonly<Record<string, string>>;
  readonly restart?: string;
  readonly healthcheck?: unknown;
  readonly depends_on?: Readonly<Record<string, unknown>>;
}

describe("compose.yml", () => {
  const { services } = YAML.parse(read("compose.yml")) as { services: Readonly<Record<string, Service>> };
  const given = Object.entries(services["sluice"]?.environment ?? {});
  const known = new Map(
    allSettings
      .flatMap((row) => [row, ...(row.secret ? [{ ...row, name: `${row.name}_FILE` }] : [])])
      .map((row) => [row.name, row]),
  );

  test.each(given)("sets %s, which is a setting", (name) => expect(known.has(name)).toBeTrue());

  test.each(given.filter(([, value]) => value.startsWith("${") && !value.endsWith(":-}")))(
    "gives %s the default that it has: %s",
    (name, value) => {
      // A former service's only name for the gateway.
      const wanted = name === "GATEWAY_ID" ? "site-1" : known.get(name)?.default;
      expect(value).toBe(`\${${name}:-${wanted}}`);
    },
  );

  test("has what former services had in theirs", () => {
    for (const name of [
      "AUTH_CACHE_TTL_SECONDS",
      "AUTH_CACHE_MAX_SIZE",
      "INFLUX_BATCH_SIZE",
      "INFLUX_FLUSH_INTERVAL_MS",
    ])
      expect(given.map(([each]) => each)).toContain(name);
  });

  test("tells of every server whether it is healthy, and waits for it", () => {
    for (const name of ["mosquitto", "postgres", "influxdb", "redis", "kafka"]) {
      expect(services[name]?.healthcheck).toBeDefined();
      const waiting = Object.values(services).filter((each) => each.depends_on?.[name] !== undefined);
      expect(waiting.length).toBeGreaterThan(0);
    }
  });

  test("does not start a gateway for ever that cannot start", () =>
    expect(services["sluice"]?.restart).toBe("on-failure:5"));
});

describe("Dockerfile", () => {
  const text = read("Dockerfile");

  test("has its bases pinned", () => {
    const bases = [...text.matchAll(/^FROM (?:--\S+ )?(\S+)/gm)].map(([, name]) => name);
    for (const name of bases) expect(name).toMatch(/^runtime$|:\d+\.\d+/);
  });

  test("runs nothing in the last stage, so that it needs no emulation for another processor", () => {
    expect(text.slice(text.lastIndexOf("\nFROM "))).not.toMatch(/^RUN /m);
  });

  test("has the version of this program and the Bun of this repository", () => {
    expect(text).toContain(`image.version="${manifest.version}"`);
    expect(text).toContain(`oven/bun:${manifest.devDependencies["bun-types"]}-`);
  });
});
