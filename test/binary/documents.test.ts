/**
 * The README's and docs' own blocks of shell that want nothing but an executable, run from a fresh clone as a newcomer would: in
 * namespaces where the default ports are free, with `npx -y bun@…` as the Bun that runs the tests.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { forbidden } from "../kit/booted.ts";
import { endOf } from "../kit/gateway.ts";
import { mosquittoAvailable } from "../kit/mosquitto.ts";
import { blocks, root } from "../kit/documents.ts";

setDefaultTimeout(180_000);

/** Nothing that a block leaves behind outlives it. */
const apart = ["unshare", "--net", "--pid", "--fork", "--mount-proc"];
const absent = [
  Bun.which("ip") === null ? "no iproute2" : "",
  Bun.which("curl") === null ? "no curl" : "",
  mosquittoAvailable() ? "" : "no mosquitto",
  Bun.which("mosquitto_pub") === null ? "no mosquitto-clients" : "",
].filter(Boolean);
const kernel =
  absent.length > 0 || Bun.spawnSync([...apart, "ip", "link", "set", "lo", "up"]).success
    ? ""
    : `namespaces are ${forbidden}`;

let directory: string;
const at = (name: string) => join(directory, name);

/** The one block that begins so; it must be one that a newcomer can run anywhere. */
function block(page: string, begins: string): string {
  const found = blocks.filter((each) => each.page === page && each.text.startsWith(begins));
  expect(found.map(({ info }) => info)).toEqual(["sh"]);
  return found[0]?.text ?? "";
}

/** Runs lines in a shell whose folder is the clone. */
function shell(script: string, clean = true) {
  const lines = `ip link set lo up\nset -e\n${script}\n${clean ? "kill $(jobs -p) 2>/dev/null || true; wait" : ""}`;
  const child = Bun.spawn([...apart, "bash", "-c", lines], {
    cwd: at("sluice"),
    env: { PATH: `${at("bin")}:${process.env["PATH"]}`, HOME: process.env["HOME"] },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return endOf(child);
}

describe.skipIf(absent.length > 0 || kernel !== "")(
  `in a fresh clone (skipped where absent: ${[...absent, kernel].join(", ")})`,
  () => {
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), "sluice-clone-"));
      mkdirSync(at("bin"));
      // npx -y bun@1.4.5 run X
      writeFileSync(at("bin/npx"), `#!/bin/sh\nshift 2\nexec ${process.execPath} "$@"\n`);
      chmodSync(at("bin/npx"), 0o755);
      // Git refuses the folder of another user, and CI may have none.
      const isCloned = Bun.spawnSync(["git", "clone", "--quiet", root, at("sluice")]).success;
      const isSource = (path: string) => !["node_modules", "dist", ".git"].includes(relative(root, path));
      if (!isCloned) cpSync(root, at("sluice"), { recursive: true, filter: isSource });
      // The clone's packages, as the first `bun install` brings them; in the namespace there is no network.
      const installed = Bun.spawnSync([process.execPath, "install", "--frozen-lockfile"], {
        cwd: at("sluice"),
      });
      expect(installed.success).toBeTrue();
    });
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    test("the first command installs, builds and runs a gateway with a fleet, and Ctrl-C reconciles", async () => {
      const [demo = ""] = block("README.md", "npx ").split("\n");
      const { code, out, err } = await shell(
        `(${demo.replace(/ *#.*/, "")}) > demo.out 2> demo.err & demo=$!
       for i in $(seq 600); do curl -sf http://127.0.0.1:8080/healthz > healthz && break; sleep 0.2; done
       sleep 2; kill -INT $(pgrep -x sluice); code=0; wait $demo || code=$?
       cat demo.out demo.err; exit $code`,
        false,
      );
      expect({ code, out: out + err }).toMatchObject({ code: 0 });
      expect(out).toContain("The books balance: everything sent was acknowledged");
    });

    test("the first device's row is seen", async () => {
      const { code, out, err } = await shell(block("README.md", "export PATH"));
      expect({ code, err }).toMatchObject({ code: 0 });
      expect(out).toMatch(/^temp_c +21\.5 /m);
      expect(out).toContain("Books balance.");
      expect(out).toContain("accepted 1 + rejected 0");
    });

    test("look before you start", async () => {
      const { code, out, err } = await shell(
        `export PATH="$PWD/dist:$PATH" DATA_DIR=./sluice-data\n${block("docs/operating.md", "sluice check")}`,
      );
      expect({ code, err }).toMatchObject({ code: 0 });
      expect(out).toMatch(/^disk +ok +/m);
      expect(out).toContain("local.db: everything was there already");
    });

    test("a message over HTTP", async () => {
      const { code, out, err } =
        await shell(`export PATH="$PWD/dist:$PATH" DATA_DIR=./http-data INGEST_LISTEN=127.0.0.1:8081
      TOKEN=$(sluice devices add acme press-3 --site hall-7)
      sluice run > http.log &
      until sluice health --ready || ! kill -0 $!; do sleep 0.2; done
      ${block("docs/devices.md", "curl ")}`);
      expect({ code, err }).toMatchObject({ code: 0 });
      expect(out).toContain('"accepted"');
    });
  },
);
