/** The command line: exit codes, usage, and what goes to which stream. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { runCommand } from "../kit/command.ts";
import { type Log, silentLog } from "../../src/core/log/log.ts";
import { reasons } from "../../src/judge/reasons.ts";

let directory: string;
let env: Record<string, string>;
let log: Log;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-cli-"));
  env = { DATA_DIR: join(directory, "data"), GATEWAY_ID: "test" };
  log = silentLog;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const sluice = (...words: string[]) => runCommand(words, { env, createLog: () => log });

const inLocalStore = () => `in the local store, ${join(directory, "data", "local.db")}\n`;

describe("usage", () => {
  test("--version prints version and commit", async () => {
    const { code, out } = await sluice("--version");
    expect(code).toBe(0);
    expect(out).toMatch(/^sluice \d+\.\d+\.\d+ \(.+\)\n$/);
  });

  test("--help and help print every command to standard output", async () => {
    for (const words of [["--help"], ["help"]]) {
      const { code, out, err } = await sluice(...words);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      for (const name of ["run", "demo", "simulate", "migrate", "check", "health", "devices", "help"]) {
        expect(out).toMatch(new RegExp(`^  ${name} `, "m"));
      }
    }
  });

  test.each([
    ["no words", []],
    ["an unknown command", ["fly"]],
    ["an unknown option", ["run", "--fast"]],
    ["an unknown help topic", ["help", "nothing"]],
    ["a missing argument", ["devices", "show", "acme"]],
    ["one argument too many", ["devices", "show", "acme", "d1", "d2"]],
    ["a group without its command", ["devices"]],
    ["a missing option", ["devices", "add", "acme", "d1"]],
    ["a number that is none", ["devices", "list", "--limit", "many"]],
    ["an id that is not one level of a topic", ["devices", "show", "acme/inc", "d1"]],
    ["metadata that is no object", ["devices", "add", "acme", "d1", "--site", "s", "--metadata", "[1]"]],
  ])("%s: exit code 2, reported on standard error", async (_, words) => {
    const { code, out, err } = await sluice(...words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).not.toBe("");
  });

  test("what is a topic of help, and no command, is told so", async () => {
    expect(await sluice("version")).toMatchObject({
      code: 2,
      err: expect.stringContaining("See `sluice help version`."),
    });
  });

  test("a command of a group that there is not: all that there are, and none that only looks like it", async () => {
    const { code, err } = await sluice("cache", "clean");
    expect({ code, err }).toEqual({
      code: 2,
      err: "error: unknown command 'clean'\n`sluice cache` knows stats, clear, invalidate: see `sluice cache --help`.\n",
    });
    expect((await sluice("devices", "add", "--sit", "x")).err).toContain("Did you mean --site?");
  });

  test.each([
    ["MQTT_ULR", "MQTT_URL"],
    ["DATABASE_URL_FILE", "DATABASE_URL"],
    ["token_invald", "TOKEN_INVALID"],
    ["device", "devices"],
    ["devices lst", "devices list"],
    ["alert", "alerts"],
  ])("help on %s: did you mean %s?", async (asked, meant) => {
    const { code, err } = await sluice("help", ...asked.split(" "));
    expect(code).toBe(2);
    expect(err).toContain(`there is no help on "${asked}"; did you mean ${meant}?`);
  });

  test("help on a command within a group names its options", async () => {
    const { code, out } = await sluice("help", "devices", "add");
    expect(code).toBe(0);
    expect(out).toContain("--site <id>");
  });
});

describe("help topics", () => {
  test("settings: every one with its unit and default, and as JSON", async () => {
    expect((await sluice("help", "settings")).out).toContain("SPOOL_LINGER_MS  (ms, default 5)");
    const rows = JSON.parse((await sluice("help", "settings", "--json")).out) as { name: string }[];
    expect(rows.map(({ name }) => name)).toContain("HTTP_LISTEN");
  });

  test.each(["MQTT_URL", "settings mqtt_url"])("%s: that setting alone", async (words) => {
    const { code, out } = await sluice("help", ...words.split(" "));
    expect([code, out.match(/^ {2}[A-Z]/gm)?.length]).toEqual([0, 1]);
    expect(out).toStartWith("  MQTT_URL  (url, optional)\n");
    const one = JSON.parse((await sluice("help", ...words.split(" "), "--json")).out) as { name: string };
    expect(one.name).toBe("MQTT_URL");
  });

  test.each(["TOKEN_INVALID", "reasons TOKEN_INVALID"])("%s: that reason alone", async (words) => {
    const { code, out } = await sluice("help", ...words.split(" "));
    expect([code, out.match(/^[A-Z_]+$/gm)]).toEqual([0, ["TOKEN_INVALID"]]);
  });

  test("what has no form in JSON is not printed in another one", async () => {
    const { code, out, err } = await sluice("help", "alerts", "--json");
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("`help alerts` has no form in JSON");
  });

  test("reasons: every one", async () => {
    const { out } = await sluice("help", "reasons");
    for (const { code, remedy } of reasons) {
      expect(out).toContain(`${code}
`);
      expect(out.replaceAll(/\s+/g, " ")).toContain(remedy);
    }
    expect(out.split("\n").filter((line) => line.length > 100)).toEqual([]);
  });

  test("the sample environment file sets nothing until a line is uncommented, and is then the default", async () => {
    const { out } = await sluice("help", "environment");
    const lines = out.split("\n").filter((line) => line !== "");
    expect(lines.filter((line) => !line.startsWith("#"))).toEqual([]);
    expect(lines).toContain("#HTTP_LISTEN=127.0.0.1:8080");
  });

  test("the unit file runs the gateway without privileges and does not restart a wrong configuration", async () => {
    const { out } = await sluice("help", "systemd");
    for (const line of [
      "DynamicUser=yes",
      "StateDirectory=sluice",
      "Restart=always",
      "RestartPreventExitStatus=2 78",
    ]) {
      expect(out.split("\n")).toContain(line);
    }
  });
});

describe("a wrong configuration", () => {
  test.each(["run", "check", "migrate", "health", "devices list"])(
    "%s: exit code 78, every mistake, nothing touched",
    async (line) => {
      env = { ...env, LOG_LEVEL: "loud", SPOOL_LINGER_MS: "soon", ADMIN_TOKEN: "hunter2" };
      const { code, out, err } = await sluice(...line.split(" "));
      expect({ code, out }).toEqual({ code: 78, out: "" });
      expect(err).toStartWith("3 mistakes in the configuration, nothing was changed:\n");
      for (const name of ["LOG_LEVEL=loud", "SPOOL_LINGER_MS=soon", "ADMIN_TOKEN=***"])
        expect(err).toContain(name);
      expect(err).not.toContain("hunter2");
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  test("a remark does not stop a command and goes to standard error", async () => {
    await sluice("migrate");
    env["SPOOL_LINGERMS"] = "5";
    const { code, out, err } = await sluice("devices", "list", "--json");
    expect({ code, out }).toEqual({ code: 0, out: "[]\n" });
    expect(err).toBe(
      `warning: SPOOL_LINGERMS: not a setting; did you mean SPOOL_LINGER_MS?\n${inLocalStore()}`,
    );
  });
});

describe("devices, in the local store", () => {
  const json = async (...words: string[]) => JSON.parse((await sluice(...words, "--json")).out) as unknown;

  test("add prints the token once, alone on standard output; only its hash is kept", async () => {
    const { code, out, err } = await sluice(
      "devices",
      "add",
      "acme",
      "d1",
      "--site",
      "hall-7",
      "--metadata",
      '{"a":1,"iccid":8949020000012345678}',
    );
    expect(code).toBe(0);
    expect(out).toMatch(/^tok-[A-Za-z0-9_-]{32}\n$/);
    expect(err).toContain("not shown again");
    expect(await json("devices", "show", "acme", "d1")).toMatchObject({
      tenant_id: "acme",
      device_id: "d1",
      site_id: "hall-7",
      status: "ACTIVE",
      token_set: true,
      metadata: { a: 1 },
    });
    expect((await sluice("devices", "show", "acme", "d1", "--json")).out).toContain("8949020000012345678");
    for (const file of readdirSync(join(directory, "data"))) {
      expect(readFileSync(join(directory, "data", file), "latin1")).not.toContain(out.trim());
    }
  });

  test("a second add is an error and changes nothing", async () => {
    await sluice("devices", "add", "acme", "d1", "--site", "hall-7");
    const { code, out, err } = await sluice("devices", "add", "acme", "d1", "--site", "hall-8");
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("rotate-token");
    expect(await json("devices", "show", "acme", "d1")).toMatchObject({ site_id: "hall-7" });
  });

  test("a device is revoked, let in again, given another token and removed", async () => {
    const { out: first } = await sluice("devices", "add", "acme", "d1", "--site", "hall-7");
    expect(await json("devices", "revoke", "acme", "d1")).toMatchObject({ status: "REVOKED" });
    expect(await json("devices", "activate", "acme", "d1")).toMatchObject({ status: "ACTIVE" });
    const rotated = (await json("devices", "rotate-token", "acme", "d1", "--grace", "60")) as {
      token: string;
    };
    expect(rotated.token).toMatch(/^tok-/);
    expect(rotated.token).not.toBe(first.trim());
    const removed = await sluice("devices", "remove", "acme", "d1", "--json");
    expect(removed.code).toBe(0);
    expect(JSON.parse(removed.out)).toEqual({ tenant_id: "acme", device_id: "d1", removed: true });
    expect(await json("devices", "list")).toEqual([]);
  });

  test.each(["show", "revoke", "activate", "rotate-token", "remove"])(
    "%s of an unknown device: exit code 1",
    async (name) => {
      await sluice("migrate");
      const { code, out, err } = await sluice("devices", name, "acme", "nobody");
      const said = `${inLocalStore()}device acme/nobody is not registered\n`;
      expect({ code, out, err }).toEqual({ code: 1, out: "", err: said });
    },
  );

  test("list filters, bounds and prints a table", async () => {
    for (const id of ["a1", "a2", "b1"]) await sluice("devices", "add", "acme", id, "--site", `site-${id}`);
    const ids = async (...words: string[]) =>
      ((await json("devices", "list", ...words)) as { device_id: string }[]).map((d) => d.device_id);
    expect(await ids()).toEqual(["a1", "a2", "b1"]);
    expect(await ids("--match", "a")).toEqual(["a1", "a2"]);
    expect(await ids("--site", "site-b1")).toEqual(["b1"]);
    expect(await ids("--tenant", "other")).toEqual([]);
    expect(await ids("--limit", "2")).toEqual(["a1", "a2"]);
    expect((await sluice("devices", "list")).out.split("\n")).toHaveLength(5);
  });
});

describe("migrate and check, without servers", () => {
  test("migrate creates the local store, and does nothing the second time", async () => {
    const first = JSON.parse((await sluice("migrate", "--json")).out) as { done: string[] };
    expect(first.done).toContain("created table raw_events");
    const second = JSON.parse((await sluice("migrate", "--json")).out) as { done: string[] };
    expect(second.done).toEqual([]);
  });

  test("check exits with 0 if everything can be used, and leaves no file", async () => {
    const { code, out } = await sluice("check");
    expect(code).toBe(0);
    expect(out).toContain(`DATA_DIR=${env["DATA_DIR"]}`);
    expect(out).toMatch(/^source +ok/m);
    expect(existsSync(join(directory, "data"))).toBe(false);
  });

  test("check names the system that cannot be reached: exit code 1, no password", async () => {
    env = {
      ...env,
      MQTT_URL: "mqtt://me:hunter2@127.0.0.1:1",
      DATABASE_URL: "postgres://me:hunter2@127.0.0.1:1/db",
      PG_TIMEOUT_MS: "1000",
    };
    const { code, out, err } = await sluice("check", "--json");
    expect(code).toBe(1);
    expect(out + err).not.toContain("hunter2");
    const { probes } = JSON.parse(out) as { probes: { part: string; ok: boolean }[] };
    expect(probes.map(({ part, ok }) => [part, ok])).toEqual([
      ["clock", true],
      ["disk", true],
      ["http", true],
      ["source", false],
      ["registry", false],
      ["postgres", false],
    ]);
  });

  test("check says where the gateway would listen, and whether that is free", async () => {
    using other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const taken = `127.0.0.1:${other.port}`;
    env = {
      ...env,
      HTTP_LISTEN: taken,
      BROKER_LISTEN: taken.replace(".1:", ".2:"),
      INGEST_LISTEN: "127.0.0.3:0",
    };
    const told = async () => (await sluice("check")).out.split("\n\n")[1];
    const inUse = `${taken} is in use, by a gateway that runs or by another program`;
    const found = await told();
    expect(found).toContain(`http                ok      ${inUse}\n`);
    expect(found).toContain(`the gateway is itself the broker; ${taken.replace(".1:", ".2:")} is free\n`);
    expect(found).toContain("source http_ingest  ok      127.0.0.3:0 is free\n");
    expect(found).toContain(`no DATABASE_URL: devices and tables are in a file of SQLite, `);
    env = { ...env, HTTP_LISTEN: "192.0.2.1:80", ADMIN_TOKEN: "a-token-of-some-length" };
    expect(await told()).toMatch(
      /^http +FAILED +HTTP_LISTEN: cannot listen on 192\.0\.2\.1:80: no network interface/m,
    );
  });

  test("run logs why it cannot start, also if it is told to stop while it closes what it had opened", async () => {
    const file = join(directory, "file");
    writeFileSync(file, "");
    env = { ...env, DATA_DIR: join(file, "data") };
    const logged: string[] = [];
    const stop = new AbortController();
    const write = (line: string) => {
      logged.push(line);
      stop.abort();
    };
    const createLog = () => pino({ messageKey: "message" }, { write });
    const { code, out, err } = await runCommand(["run"], { env, createLog, signal: stop.signal });
    expect({ code, out, err }).toEqual({ code: 1, out: "", err: "" });
    expect(logged.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ message: "cannot start", error: expect.stringContaining("DATA_DIR=") }),
    ]);
  });
});
