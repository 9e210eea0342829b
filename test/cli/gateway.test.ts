/**
 * The commands against a running gateway: the same answers as against the database, and the token is never in an
 * argument.
 */
import { RegistryError } from "../../src/admin/registry-error.ts";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../kit/command.ts";
import { sha256 } from "../kit/builders.ts";
import { type InProcess, registered, scratch, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";

const ADMIN_TOKEN = "a-token-of-some-length";
let running: InProcess;
let directory: string;
let url: string;
let env: Record<string, string>;

beforeEach(async () => {
  directory = scratch();
  running = await startInProcess({ ADMIN_TOKEN, DATA_DIR: join(directory, "gateway") });
  url = `http://${running.gateway.httpAddress()}`;
  env = { ADMIN_TOKEN };
});
afterEach(stopAll);

const sluice = (words: string[], isTerminal = false) => runCommand(words, { env, isTerminal });

test("health is not that of another program, which answers everything with its page", async () => {
  using other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("<html>") });
  env = { ...env, HTTP_LISTEN: `127.0.0.1:${other.port}` };
  for (const words of [["health"], ["health", "--ready"]]) {
    const { code, out, err } = await sluice(words);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("is no gateway");
  }
  env = { ...env, HTTP_LISTEN: running.gateway.httpAddress() };
  expect(await sluice(["health"])).toMatchObject({ code: 0, out: '{"status":"ok"}\n' });
  expect((await sluice(["health", "--ready"])).code).toBe(0);
});

test.each([
  [
    "nothing is found on",
    404,
    { detail: "messages are taken below /ingest/v1/." },
    "answers 404: messages are taken below",
  ],
  ["another program answers on", 200, "<html>", "is no gateway"],
])("a port where %s is reported in words", async (_, status, body, words) => {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  using other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(text, { status }) });
  for (const command of [["status"], ["rejects"], ["cache", "stats"]]) {
    const { code, err } = await sluice([...command, "--gateway", `http://127.0.0.1:${other.port}`]);
    expect([code, err.split("\n").length]).toEqual([1, 3]);
    expect(err).toContain(words);
  }
});

test("a gateway that a proxy has moved is told where, and the token does not go there", async () => {
  const seen: string[] = [];
  using there = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url: asked }) => (seen.push(asked), new Response("{}")),
  });
  using other = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url: asked }) => Response.redirect(`http://127.0.0.1:${there.port}${new URL(asked).pathname}`),
  });
  for (const command of [["status"], ["events"], ["devices", "list"]]) {
    const { code, err } = await sluice([...command, "--gateway", `http://127.0.0.1:${other.port}`]);
    expect(code).toBe(1);
    expect(err).toContain(`is no gateway, but points to http://127.0.0.1:${there.port}/`);
  }
  expect(seen).toEqual([]);
});

test.each(["two\nlines-of-it", "tök-of-letters-€"])(
  "a file with %p is said to hold no token, and is not shown",
  async (text) => {
    writeFileSync(join(directory, "token"), text);
    const { code, err } = await sluice([
      "status",
      "--gateway",
      url,
      "--token-file",
      join(directory, "token"),
    ]);
    expect(code).toBe(1);
    expect(err).toContain("holds no token");
    expect(err).not.toContain("of-it");
    expect(err).not.toContain("letters");
  },
);

test.each([
  "devices show acme ..",
  "devices remove . d1",
  "cache invalidate ..",
  "cache invalidate acme --device .",
  "latest --tenant acme --device ..",
])("%s: no URL can name it, so nothing else is asked for", async (words) => {
  const { code, out, err } = await sluice([...words.split(" "), "--gateway", url]);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toContain("no URL can name");
});

test("a gateway behind a path is not asked at another one, where its token would go", async () => {
  const { code, err } = await sluice(["status", "--gateway", `${url}/hall-7`]);
  expect(code).toBe(2);
  expect(err).toContain("without user, password and path");
});

test("latest shows every metric, whatever its name, with all of its digits", async () => {
  await running.gateway.view.devices.add(registered(["d1"]));
  const metrics = '{"__proto__":7,"temp_c":21,"meter":9007199254740993}';
  const message = telemetry("d1", 1, { metrics: "METRICS" });
  const payload = Buffer.from(message.payload).toString().replace('"METRICS"', metrics);
  running.source.give({ ...message, payload: Buffer.from(payload) });
  await running.acknowledged();
  const { out } = await sluice(["latest", "--tenant", "acme", "--device", "d1", "--gateway", url]);
  expect(out).toMatch(/^__proto__ +7 /m);
  expect(out).toMatch(/^temp_c +21 /m);
  expect(out).toMatch(/^meter +9007199254740993 /m);
  const json = await sluice(["latest", "--tenant", "acme", "--device", "d1", "--gateway", url, "--json"]);
  expect(json.out).toContain('"meter":{"value":9007199254740993,');
});

test.each([
  ["answered", "the printed token is not in force\n"],
  ["unsure", "whether the printed token is in force is not sure"],
] as const)("devices add, of which the gateway says that the registry %s", async (what, said) => {
  const add = () => Promise.reject(new RegistryError(what, new Error("of a test"), true));
  Object.assign(running.gateway.view.devices, { add });
  const { code, err } = await sluice(["devices", "add", "acme", "d1", "--site", "s", "--gateway", url]);
  expect([code, err]).toEqual([1, expect.stringContaining(said)]);
  expect(err).toContain("answers 503: The registry");
});

test("devices add, after which the registry does not answer any more: the token may be in force", async () => {
  const { devices } = running.gateway.view;
  const { add } = devices;
  Object.assign(devices, {
    add(added: Parameters<typeof add>[0]) {
      Object.assign(devices, {
        get: () => Promise.reject(new RegistryError("unread", new Error("of a test"))),
      });
      return add(added);
    },
  });
  const { code, err } = await sluice(["devices", "add", "acme", "d1", "--site", "s", "--gateway", url]);
  expect([code, err]).toEqual([
    1,
    expect.stringContaining("whether the printed token is in force is not sure"),
  ]);
});

/** Against the gateway and against its own store: what follows must be true for both. */
const places = [
  ["a running gateway", () => ["--gateway", url]],
  [
    "the local store",
    () => {
      env = { DATA_DIR: join(directory, "gateway"), GATEWAY_ID: "test" };
      return [];
    },
  ],
] as const;

describe.each(places)("devices, through %s", (_, where) => {
  const run = (...words: string[]) => sluice(["devices", ...words, ...where()]);
  const json = async (...words: string[]) =>
    JSON.parse((await run(...words, "--json")).out) as Record<string, unknown>;
  const hashOf = async (deviceId: string) => {
    const { gateway } = running;
    const listed = await gateway.view.devices.get({ tenantId: "acme", deviceId });
    return listed?.tokenSet;
  };

  test("add, show, update, revoke, activate, rotate-token, remove", async () => {
    const added = await run("add", "acme", "d1", "--site", "s", "--metadata", '{"a":1}');
    expect(added.code).toBe(0);
    expect(added.out).toMatch(/^tok-\S{32}\n$/);
    expect(await run("add", "acme", "d1", "--site", "s")).toMatchObject({ code: 1, out: "" });
    expect(await hashOf("d1")).toBe(true);
    expect(await json("show", "acme", "d1")).toMatchObject({
      site_id: "s",
      token_set: true,
      metadata: { a: 1 },
    });
    expect(await json("update", "acme", "d1", "--site", "s2", "--firmware", "7")).toMatchObject({
      site_id: "s2",
      fw_version: "7",
      metadata: { a: 1 },
    });
    expect(await json("revoke", "acme", "d1")).toMatchObject({ status: "REVOKED" });
    expect(await json("activate", "acme", "d1")).toMatchObject({ status: "ACTIVE" });
    const rotated = await json("rotate-token", "acme", "d1", "--grace", "60");
    expect(rotated["token"]).toMatch(/^tok-\S{32}$/);
    expect(rotated["token"]).not.toBe(added.out.trim());
    expect((await run("remove", "acme", "d1")).code).toBe(0);
    const gone = await run("show", "acme", "d1");
    expect([gone.code, gone.out]).toEqual([1, ""]);
    expect(gone.err).toMatch(/^in the .+\ndevice acme\/d1 is not registered\n$/);
    expect((await run("update", "acme", "d1")).code).toBe(2);
  });

  test("import and export: every line is accounted for, tokens are printed once, and a fleet fills several pages", async () => {
    const file = join(directory, "fleet.csv");
    const rows = Array.from(
      { length: 1200 },
      (_u, n) => `acme,d${String(n).padStart(4, "0")},s,${n === 0 ? sha256("tok-some") : ""}`,
    );
    writeFileSync(
      file,
      ["tenant_id,device_id,site_id,provision_token_hash", ...rows, "acme,bad/id,s,"].join("\n"),
    );
    const imported = await run("import", file, "--make-tokens");
    expect(imported.code).toBe(1);
    expect(imported.err).toContain(`${file}:1202: device_id: must be one level`);
    expect(imported.err).toEndWith("1,201 lines: 1,200 added, 0 already registered, 1 wrong\n");
    const tokens = imported.out.trim().split("\n");
    expect(tokens[0]).toBe("tenant_id,device_id,token");
    expect(tokens).toHaveLength(1200);
    expect(tokens[1]).toMatch(/^acme,d0001,tok-\S{32}$/);

    expect(await json("import", file)).toMatchObject({ read: 1201, added: 0, existing: 1200, wrong: 1 });
    const exported = await run("export", "--format", "csv", "--match", "d00");
    expect(exported.out.trim().split("\n")).toHaveLength(101);
    expect(exported.out).not.toContain("tok-");
    expect(exported.out).not.toContain(sha256("tok-some"));
    const listed = JSON.parse((await run("list", "--json")).out) as unknown[];
    expect(listed).toHaveLength(1200);
  });
});

test("devices without a token cause a warning", async () => {
  const file = join(directory, "fleet.ndjson");
  const hash = sha256("tok-some");
  writeFileSync(
    file,
    `{"tenant_id":"acme","device_id":"d1","site_id":"s"}\n{"tenant_id":"acme","device_id":"d2","site_id":"s","provision_token_hash":"${hash}"}\n`,
  );
  const { code, err } = await sluice(["devices", "import", file, "--gateway", url]);
  expect(code).toBe(0);
  expect(err).toContain("warning: 1 device that was added has no token");
  expect((await sluice(["devices", "import", file, "--gateway", url])).err).not.toContain("no token");
  const all = ["devices", "import", file, "--make-tokens", "--json", "--gateway", url];
  await sluice(["devices", "remove", "acme", "d1", "--gateway", url]);
  expect((await sluice(all)).err).not.toContain("no token");
});

test("import takes CSV and NDJSON whatever the file is called", async () => {
  const texts = {
    "fleet.txt": "tenant_id,device_id,site_id\nacme,d1,s\n",
    fleet: ' \n{"tenant_id":"acme","device_id":"d2","site_id":"s"}\n',
    "lines.csv": '{"tenant_id":"acme","device_id":"d3","site_id":"s"}\n',
  };
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(directory, name), text);
    const { code, err } = await sluice(["devices", "import", join(directory, name), "--gateway", url]);
    expect([name, code]).toEqual([name, 0]);
    expect(err).toContain("1 line: 1 added");
  }
});

test("import reads a device of the system as an empty file, or one without end", async () => {
  const read = (path: string) => sluice(["devices", "import", path, "--gateway", url]);
  expect(await read("/dev/null")).toMatchObject({ code: 0, err: expect.stringMatching(/\n0 lines: .*\n$/) });
  const endless = expect.stringContaining("line 1: longer than 65536 characters");
  expect(await read("/dev/zero")).toMatchObject({ code: 1, err: endless });
});

test("import of a file that is not UTF-8 says so", async () => {
  const file = join(directory, "fleet.csv");
  writeFileSync(file, Buffer.from("tenant_id,device_id,site_id\nacme,caf\u00e9,s\n", "latin1"));
  const { code, err } = await sluice(["devices", "import", file, "--gateway", url]);
  expect([code, err.includes("it is not UTF-8")]).toEqual([1, true]);
});

test("import of a file that is not there makes no local store", async () => {
  const dataDir = join(directory, "none");
  for (const [file, why] of [
    [join(directory, "absent.csv"), "there is no file"],
    [directory, "is a directory"],
  ] as const) {
    const { code, err } = await runCommand(["devices", "import", file], { env: { DATA_DIR: dataDir } });
    expect([code, err.includes(why), existsSync(dataDir)]).toEqual([2, true, false]);
  }
});

test("progress is drawn over itself on a terminal, and only there", async () => {
  const file = join(directory, "fleet.ndjson");
  writeFileSync(file, '{"tenant_id":"acme","device_id":"d1","site_id":"s"}\n');
  expect((await sluice(["devices", "import", file, "--gateway", url], true)).err).toContain(
    "\r1 line read\n",
  );
  expect((await sluice(["devices", "import", file, "--gateway", url])).err).not.toContain("\r");
});

describe("cache and settings", () => {
  const where = () => ["--gateway", url];

  test("stats with bands, clear, invalidate", async () => {
    const { code, out } = await sluice(["cache", "stats", ...where()]);
    expect(code).toBe(0);
    expect(out).toMatch(/^size +0 +good$/m);
    expect(out).toMatch(/^hit_rate +- +not known yet$/m);
    const stats = JSON.parse((await sluice(["cache", "stats", "--json", ...where()])).out) as unknown;
    expect(stats).toMatchObject({ size: 0, bands: { size: "good", hit_rate: null } });
    expect(await sluice(["cache", "clear", ...where()])).toMatchObject({ code: 0, out: "cache cleared\n" });
    for (const words of [
      ["invalidate", "acme"],
      ["invalidate", "acme", "--device", "d1"],
    ])
      expect(await sluice(["cache", ...words, ...where()])).toMatchObject({
        code: 0,
        out: expect.stringContaining("0 devices were cached"),
      });
  });

  test("without --gateway the gateway on this host is used, with the token from its settings", async () => {
    env = { ADMIN_TOKEN, HTTP_LISTEN: url.slice("http://".length), DATA_DIR: join(directory, "other") };
    expect(await sluice(["cache", "clear"])).toMatchObject({ code: 0 });
  });

  test("settings: list, set at once on the gateway, refuse, unset", async () => {
    expect((await sluice(["settings", "list", ...where()])).out).toMatch(/^MODE +PROD +default/m);
    expect(await sluice(["settings", "set", "mode", "DEV", ...where()])).toMatchObject({ code: 0 });
    expect(running.stats()["mode"]).toBe("DEV");
    const refused = await sluice(["settings", "set", "MODE", "TEST", ...where()]);
    expect(refused).toMatchObject({ code: 2, err: expect.stringContaining("MODE must be one of PROD, DEV") });
    expect(await sluice(["settings", "set", "NONE", "1", ...where()])).toMatchObject({ code: 2 });
    await sluice(["settings", "unset", "MODE", ...where()]);
    expect(running.stats()["mode"]).toBe("PROD");
  });

  test("settings against the store reach the running gateway too", async () => {
    env = { DATA_DIR: join(directory, "gateway"), GATEWAY_ID: "test", RATE_LIMIT_BURST: "9" };
    const listed = (await sluice(["settings", "list"])).out;
    expect(listed).toMatch(/^RATE_LIMIT_BURST +9 +environment/m);
    expect(listed).toMatch(/^RATE_LIMIT_RPS +5 +default/m);
    expect(await sluice(["settings", "set", "RATE_LIMIT_RPS", "7", "--json"])).toMatchObject({
      code: 0,
      out: expect.stringContaining('"value":"7"'),
    });
    expect((await sluice(["settings", "set", "RATE_LIMIT_RPS", "fast"])).err).toContain(
      "RATE_LIMIT_RPS must be a number such as 0, 2.5 or 100",
    );
  });
});

describe("authentication", () => {
  test("without its token: an error with the remedy, exit code 1", async () => {
    env = {};
    const { code, out, err } = await sluice(["devices", "list", "--gateway", url]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("ADMIN_TOKEN or with --token-file");
  });

  test("the token from a file", async () => {
    env = {};
    const file = join(directory, "token");
    writeFileSync(file, `${ADMIN_TOKEN}\n`);
    expect(await sluice(["devices", "list", "--json", "--gateway", url, "--token-file", file])).toMatchObject(
      { code: 0, out: "[]\n" },
    );
  });

  test("the token from the file that ADMIN_TOKEN_FILE names, as the service reads it", async () => {
    const file = join(directory, "token");
    writeFileSync(file, `${ADMIN_TOKEN}\n`);
    env = { ADMIN_TOKEN_FILE: file };
    const words = ["devices", "list", "--json", "--gateway", url];
    expect(await sluice(words)).toMatchObject({ code: 0, out: "[]\n" });
    env = { ADMIN_TOKEN_FILE: `${file}-none` };
    expect(await sluice(words)).toMatchObject({
      code: 78,
      out: "",
      err: expect.stringContaining("ADMIN_TOKEN_FILE"),
    });
    env = { ADMIN_TOKEN_FILE: file, ADMIN_TOKEN };
    expect((await sluice(words)).code).toBe(78);
  });

  test.each(["127.0.0.1:8080", "ftp://host", "http://me:secret@host:8080"])(
    "%s is not a gateway's URL: exit code 2, and it is not repeated",
    async (gateway) => {
      const { code, err } = await sluice(["devices", "list", "--gateway", gateway]);
      expect(code).toBe(2);
      expect(err).not.toContain("secret");
    },
  );

  test("a gateway that does not answer: exit code 1", async () => {
    const { code, out, err } = await sluice(["cache", "stats", "--gateway", "http://127.0.0.1:1"]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toStartWith(
      "in the gateway at http://127.0.0.1:1\nerror: no gateway answers at http://127.0.0.1:1 (does `sluice run`? HTTP_LISTEN or --gateway name another): ",
    );
  });
});

test("devices list and show tell when a device was last heard and what of it was rejected last; so does the gateway on this host, but no other", async () => {
  await running.gateway.view.devices.add(registered(["d1", "silent"]));
  running.source.give(telemetry("d1", 1), telemetry("d1", 2, { provision_token: "wrong" }));
  await running.acknowledged();
  const list = async (...where: string[]) =>
    JSON.parse((await sluice(["devices", "list", "--json", ...where])).out) as Record<string, unknown>[];
  const [heard, silent] = await list("--gateway", url);
  expect(heard).toMatchObject({
    last_seen: expect.stringMatching(/^20/) as string,
    messages: 1,
    rejected: 1,
    last_reject: "TOKEN_INVALID",
  });
  expect(silent).toMatchObject({ last_seen: null, messages: 0, rejected: 0, last_reject: null });
  const shown = await sluice(["devices", "show", "acme", "d1", "--gateway", url]);
  expect(shown.out).toMatch(/last seen +messages +rejected +last reject\n.* 1 +1 +TOKEN_INVALID/);
  env = { ...env, DATA_DIR: join(directory, "gateway"), GATEWAY_ID: "another", HTTP_LISTEN: "127.0.0.1:1" };
  expect((await list())[0]).not.toHaveProperty("last_seen");
  const { gateway_id: GATEWAY_ID } = running.stats();
  env = { ...env, HTTP_LISTEN: new URL(url).host };
  expect((await list())[0]).not.toHaveProperty("last_seen");
  env = { ...env, GATEWAY_ID };
  expect((await list())[0]).toMatchObject({ messages: 1, rejected: 1, last_reject: "TOKEN_INVALID" });
  const here = await sluice(["devices", "show", "acme", "d1"]);
  expect(here.out).toMatch(/last seen +messages +rejected +last reject\n.* 1 +1 +TOKEN_INVALID/);
  expect(here.err).not.toContain("in the gateway");
});
