/** The compiled executable, started as an operator would: from a directory that contains nothing of ours. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json";
import { endOf, executable } from "../kit/gateway.ts";

const missing = !existsSync(executable);

let directory: string;
let data: string;
let env: Record<string, string>;
let running: Bun.Subprocess[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-binary-"));
  data = join(directory, "data");
  mkdirSync(join(directory, "cwd"));
  env = {
    PATH: process.env["PATH"] ?? "",
    DATA_DIR: data,
    GATEWAY_ID: "test",
    HTTP_LISTEN: "127.0.0.1:0",
    BROKER_LISTEN: "127.0.0.1:0",
  };
  running = [];
});

afterEach(async () => {
  for (const child of running) {
    child.kill("SIGKILL");
    await child.exited;
  }
  rmSync(directory, { recursive: true, force: true });
});

function spawn(...words: string[]) {
  const cwd = join(directory, "cwd");
  const child = Bun.spawn([executable, ...words], {
    cwd,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  running.push(child);
  return child;
}

const sluice = (...words: string[]) => endOf(spawn(...words));

/** Starts `run`; resolves when its log says "started", with the fields of that line. */
async function started() {
  const child = spawn("run");
  const lines = logLines(child.stdout);
  const line = await lines.until("started");
  return { child, lines, http: String(line["http"]).replace(/^http:\/\//, "") };
}

function logLines(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  const text = new TextDecoder();
  let buffer = "";
  return {
    async until(message: string): Promise<Record<string, unknown>> {
      for (;;) {
        const end = buffer.indexOf("\n");
        if (end < 0) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`the log ended before "${message}"`);
          buffer += text.decode(value, { stream: true });
          continue;
        }
        const line = JSON.parse(buffer.slice(0, end)) as Record<string, unknown>;
        buffer = buffer.slice(end + 1);
        if (String(line["message"]).startsWith(message)) return line;
      }
    },
  };
}

/** A server that takes connections and never answers; `met` resolves at the first one. */
function startSilent() {
  const { promise: met, resolve } = Promise.withResolvers<void>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: () => resolve(), data() {} },
  });
  return { address: `127.0.0.1:${listener.port}`, met, stop: () => listener.stop(true) };
}

/** Every file below the data directory, with its contents. */
function fingerprint(): Record<string, string> {
  const files = readdirSync(data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path, createHash("sha256").update(readFileSync(path)).digest("hex")];
    }),
  );
}

describe.skipIf(missing)("the executable (skipped where dist/sluice is missing: bun run build)", () => {
  test("says which version it is, and leaves nothing behind", async () => {
    const { code, out } = await sluice("--version");
    expect(code).toBe(0);
    expect(out).toStartWith(`sluice ${version} (`);
    expect(readdirSync(join(directory, "cwd"))).toEqual([]);
    expect(existsSync(data)).toBe(false);
  });

  test("prints its help, and exits with 2 for unknown arguments", async () => {
    expect(await sluice("help")).toMatchObject({ code: 0, err: "" });
    expect(await sluice("fly")).toMatchObject({ code: 2, out: "" });
  });

  test.each([
    ["a device in Latin-1 is refused, and nothing is made", "caf\\351", 2],
    ["the character that such bytes are read as may be meant", "caf\\357\\277\\275", 0],
  ])("%s", async (_, octal, code) => {
    const script = `exec "$0" devices add acme "$(printf '${octal}')" --site s`;
    const child = Bun.spawn(["sh", "-c", script, executable], { env, stdout: "pipe", stderr: "pipe" });
    const ended = await endOf(child);
    expect(ended).toMatchObject({ code, err: expect.stringContaining("caf\uFFFD") as string });
    expect(existsSync(data)).toBe(code === 0);
  });

  test("runs, answers, and stops at SIGTERM with exit code 0", async () => {
    const { child, http } = await started();
    expect(await (await fetch(`http://${http}/healthz`)).json()).toEqual({ status: "ok" });
    expect(await (await fetch(`http://${http}/stats`)).json()).toMatchObject({ version, balanced: true });
    env["HTTP_LISTEN"] = http;
    expect(await sluice("health", "--ready")).toMatchObject({ code: 0 });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(await sluice("health")).toMatchObject({ code: 1 });
  });

  test.each([undefined, "500"])(
    "runs with the settings of its allocator and engine, of which %p was given, as the process that was started",
    async (given) => {
      if (given !== undefined) env["MIMALLOC_PURGE_HOLES_MIN_INTERVAL"] = given;
      env["DATA_DIR"] = join(directory, "däta");
      const { child } = await started();
      const variables = readFileSync(`/proc/${child.pid}/environ`, "utf8").split("\0");
      expect(variables).toContain(`MIMALLOC_PURGE_HOLES_MIN_INTERVAL=${given ?? "2000"}`);
      expect(variables).toContain("BUN_JSC_heapGrowthMaxIncrease=0.45");
      expect(variables).toContain("BUN_JSC_minEdenToOldGenerationRatio=0.2");
      expect(variables).toContain("BUN_JSC_forceCodeBlockLiveness=1");
      expect(variables).toContain("BUN_GC_TIMER_INTERVAL=10000");
      for (const [name, value] of Object.entries(env)) expect(variables).toContain(`${name}=${value}`);
      const said = readFileSync(`/proc/${child.pid}/cmdline`, "utf8").split("\0");
      expect(said).toEqual([executable, "run", ""]);
      child.kill("SIGTERM");
      expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, ""]);
    },
  );

  test.each([
    ["its file was taken away", 'exec 3<"$0"; rm "$0"; exec /proc/self/fd/3 run'],
    [
      "a loader began it by name",
      'exec "$(ls /lib64/ld-linux-x86-64.so.2 /lib/ld-*.so.1 2>/dev/null | head -1)" "$0" run',
    ],
  ])("runs as it is if it cannot begin anew: %s", async (_, command) => {
    const copy = join(directory, "sluice");
    copyFileSync(executable, copy, constants.COPYFILE_FICLONE);
    const child = Bun.spawn(["sh", "-c", command, copy], { env, stdout: "pipe", stderr: "pipe" });
    running.push(child);
    await logLines(child.stdout).until("started");
    child.kill("SIGTERM");
    expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, ""]);
  });

  test("a wrong configuration ends with 78, reports every mistake, and does not touch the spool", async () => {
    const { child } = await started();
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
    const before = fingerprint();
    expect(Object.keys(before)).not.toEqual([]);
    env = { ...env, SPOOL_LINGER_MS: "soon", MQTT_URL: "nonsense" };
    const { code, out, err } = await sluice("run");
    expect({ code, out }).toEqual({ code: 78, out: "" });
    expect(err).toContain("SPOOL_LINGER_MS=soon");
    expect(err).toContain("MQTT_URL=nonsense");
    expect(fingerprint()).toEqual(before);
  });

  test("a stray .env and bunfig.toml change nothing", async () => {
    const cwd = join(directory, "cwd");
    writeFileSync(join(cwd, ".env"), "LOG_LEVEL=loud\nSPOOL_LINGER_MS=77\n");
    writeFileSync(join(cwd, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    writeFileSync(join(cwd, "preload.ts"), 'await Bun.write("preloaded", "");\n');
    const { code, out } = await sluice("check", "--json");
    expect(code).toBe(0);
    const { settings } = JSON.parse(out) as { settings: { name: string; origin: string }[] };
    expect(settings.find(({ name }) => name === "SPOOL_LINGER_MS")).toMatchObject({ origin: "default" });
    expect(existsSync(join(cwd, "preloaded"))).toBe(false);
  });

  test.each([
    ["a database", (at: string) => ({ DATABASE_URL: `postgres://me@${at}/db`, PG_TIMEOUT_MS: "600000" })],
    ["a broker", (at: string) => ({ MQTT_URL: `mqtt://${at}` })],
  ])("SIGTERM ends a start that waits for %s which never answers", async (_, settings) => {
    const silent = startSilent();
    try {
      env = { ...env, ...settings(silent.address) };
      const child = spawn("run");
      await Promise.race([silent.met, child.exited]);
      child.kill("SIGTERM");
      const { code, out } = await endOf(child);
      expect({ code, last: out.trimEnd().split("\n").at(-1) }).toEqual({
        code: 0,
        last: expect.stringContaining('"stopped before it had started"') as string,
      });
      expect(readFileSync(join(data, "spool.state"), "utf8")).toBe("closed\n");
    } finally {
      silent.stop();
    }
  });

  test("a second signal ends at once what the first could not end", async () => {
    const silent = startSilent();
    try {
      // A PostgreSQL that takes connections and never answers keeps the gateway from stopping for 5 s.
      env = { ...env, DATABASE_URL: `postgres://me@${silent.address}/db`, PG_TIMEOUT_MS: "600000" };
      const child = spawn("run");
      await Promise.race([silent.met, child.exited]);
      // Two signals at once may count as one, so they are repeated until it ends.
      while (child.exitCode === null) {
        child.kill("SIGTERM");
        await Bun.sleep(50);
      }
      expect(child.exitCode).toBe(143);
    } finally {
      silent.stop();
    }
  });

  test("two gateways cannot open one spool", async () => {
    await started();
    const { code, out, err } = await sluice("run");
    expect({ code, err }).toEqual({ code: 1, err: "" });
    expect(JSON.parse(out.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({
      level: "fatal",
      message: "cannot start",
      error: expect.stringContaining(data),
    });
  });

  test("output that nobody reads any more is no error", async () => {
    const shell = Bun.spawn(["sh", "-c", '"$0" help settings | head -1; exit 0', executable], {
      cwd: directory,
      env,
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(shell.stdout).text()).toBe("General\n");
    expect(await new Response(shell.stderr).text()).toBe("");
  });
});
