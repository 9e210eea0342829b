/** Where a command takes its settings from: the environment, --env-file and, for root, the unit of this host. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { commands } from "../../src/cli/index.ts";
import type { Process } from "../../src/cli/command.ts";
import { runCommand } from "../kit/command.ts";
import { systemdUnit } from "../../src/cli/service/systemd-unit.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sluice-env-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

const sluice = (words: readonly string[], more: Partial<Process> = {}) =>
  runCommand(words, { env: { DATA_DIR: join(root, "data") }, root, ...more });

/** The settings that `check` reports; `env` names DATA_DIR, so nothing else is searched. */
async function inForce(name: string, words: readonly string[] = [], more: Partial<Process> = {}) {
  const { out, err, code } = await sluice(["check", "--json", ...words], more);
  if (code === 78) return err;
  const { settings } = JSON.parse(out) as {
    settings: { name: string; value: string | null; origin: string }[];
  };
  return settings.find((row) => row.name === name);
}

describe("--env-file", () => {
  test("is read as systemd reads it", async () => {
    const file = write("s.env", '# ours\nGATEWAY_ID="g 1\nLOG_LEVEL=warn\n');
    expect(await inForce("GATEWAY_ID", ["--env-file", file])).toContain("GATEWAY_ID=g 1");
    const good = write("t.env", "MQTT_TOPIC='a/+' \n;x\nSPOOL_MAX_BYTES = 10GB\n");
    expect(await inForce("MQTT_TOPIC", ["--env-file", good])).toMatchObject({ value: "a/+" });
    expect(await inForce("SPOOL_MAX_BYTES", ["--env-file", good])).toMatchObject({ value: "10GB" });
  });

  test("is an option of every command, but of those to which no setting matters", async () => {
    const without = new Set(["demo", "simulate", "install", "upgrade", "uninstall", "completion"]);
    for (const entry of commands)
      for (const one of "run" in entry ? [entry] : entry.commands) {
        const words = one === entry ? [one.name] : [entry.name, one.name];
        const { out } = await sluice([...words, "--help"]);
        expect([...words, out.includes("--env-file <path>")]).toEqual([
          ...words,
          !without.has(words.join(" ")),
        ]);
      }
  });

  test("the environment takes precedence over it, with a warning", async () => {
    const file = write("s.env", "GATEWAY_ID=written\nADMIN_TOKEN=sixteen-characters-1\n");
    const typed = {
      env: {
        DATA_DIR: join(root, "data"),
        GATEWAY_ID: "typed",
        ADMIN_TOKEN_FILE: write("t", "sixteen-characters-2"),
      },
    };
    const { err } = await sluice(["check", "--env-file", file], typed);
    expect(err).toContain(`GATEWAY_ID of the environment takes precedence over ${file}`);
    expect(await inForce("GATEWAY_ID", ["--env-file", file], typed)).toMatchObject({ value: "typed" });
    expect(await inForce("ADMIN_TOKEN", ["--env-file", file], typed)).toMatchObject({ origin: "file" });
  });

  test("an unknown name in it is a mistake with its line, whatever it looks like; what systemd ignores is reported", async () => {
    const file = write(
      "s.env",
      "SPOOL_LINGERMS=5\nTZ=UTC\nexport X=1\n\nPOSTGRES_PASSWORD='two\nlines'\nFOO=\n",
    );
    const { code, err } = await sluice(["check", "--env-file", file]);
    expect(code).toBe(78);
    expect(err).toContain(`SPOOL_LINGERMS (${file}, line 1): not a setting; did you mean SPOOL_LINGER_MS?`);
    expect(err).toContain(`POSTGRES_PASSWORD (${file}, line 5): not a setting; remove it there`);
    expect(err).not.toContain("TZ");
    expect(err).not.toContain("FOO");
    expect(err).toContain("line 3");
  });

  test("variables of any process may stand in it, and other names in the environment are no mistakes", async () => {
    const names = [
      "TZ",
      "LC_ALL",
      "https_proxy",
      "NO_PROXY",
      "SSL_CERT_FILE",
      "NODE_EXTRA_CA_CERTS",
      "TMPDIR",
    ];
    const file = write("s.env", `GATEWAY_ID=g1\nOURS=1\n${names.map((name) => `${name}=x\n`).join("")}`);
    const env = { DATA_DIR: join(root, "data"), OURS: "1" };
    expect(await inForce("GATEWAY_ID", ["--env-file", file], { env })).toEqual({
      name: "GATEWAY_ID",
      value: "g1",
      origin: `from ${file}`,
    });
    const { err, out } = await sluice(["check", "--env-file", file], { env });
    expect(err).not.toContain("not a setting");
    expect(out).toMatch(new RegExp(`^GATEWAY_ID=g1 +# from ${file}$`, "m"));
    expect(out).toMatch(/^DATA_DIR=\S+ +# environment$/m);
  });

  test("one that cannot be read is a mistake of the configuration", async () => {
    for (const file of [join(root, "none.env"), root]) {
      const { code, err } = await sluice(["devices", "list", "--env-file", file]);
      expect({ code, named: err.includes(`--env-file ${file}: cannot be read`) }).toEqual({
        code: 78,
        named: true,
      });
    }
  });
});

test("a named pipe is no file of settings: SIGHUP would wait for a writer for good", async () => {
  const pipe = join(root, "pipe.env");
  Bun.spawnSync(["mkfifo", "-m", "600", pipe]);
  const writer = Bun.spawn(["sh", "-c", `echo LOG_LEVEL=warn > ${pipe}`]);
  const { code, err } = await sluice(["check", "--env-file", pipe]);
  writer.kill();
  await writer.exited;
  expect({ code, err }).toEqual({
    code: 78,
    err: expect.stringContaining(`--env-file ${pipe}: cannot be read (it is a named pipe`) as string,
  });
});

describe("root on a host with the unit", () => {
  const asRoot = { uid: 0 };

  test("sees what the service sees: files, Environment=, credentials, drop-ins", async () => {
    write("etc/systemd/system/sluice.service", systemdUnit);
    write("etc/sluice/sluice.env", "GATEWAY_ID=of-the-unit\n");
    write(
      "etc/systemd/system/sluice.service.d/site.conf",
      "[Unit]\nEnvironment=LOG_LEVEL=none\n[Service]\nLoadCredential=admin-token:/secrets/admin\nLoadCredential=mqtt:/secrets/mqtt\n" +
        'Environment="MQTT_TOPIC=a/b c/+" MQTT_USERNAME=me \\\n  MQTT_PASSWORD_FILE=%d/mqtt\n',
    );
    write("secrets/admin", "sixteen-characters-1\n");
    const mqtt = write("secrets/mqtt", "hunter2\n");
    expect(await inForce("GATEWAY_ID", [], asRoot)).toMatchObject({
      value: "of-the-unit",
      origin: `from ${join(root, "etc/sluice/sluice.env")}`,
    });
    expect(await inForce("MQTT_TOPIC", [], asRoot)).toMatchObject({
      value: "a/b c/+",
      origin: "from unit sluice.service",
    });
    expect(await inForce("MQTT_USERNAME", [], asRoot)).toMatchObject({ value: "me" });
    expect(await inForce("MQTT_PASSWORD", [], asRoot)).toMatchObject({ value: "***", origin: "file" });
    expect(await inForce("ADMIN_TOKEN", [], asRoot)).toMatchObject({ origin: "file" });
    expect((await sluice(["check"], asRoot)).err).toContain(
      `settings: unit sluice.service, ${join(root, "etc/sluice/sluice.env")}`,
    );
    rmSync(mqtt);
    expect(await inForce("MQTT_PASSWORD", [], asRoot)).toContain("MQTT_PASSWORD_FILE");
  });

  test("another user, the service itself, or a command with --env-file does not", async () => {
    write("usr/lib/systemd/system/sluice.service", systemdUnit);
    write("etc/sluice/sluice.env", "GATEWAY_ID=of-the-unit\n");
    const env = { DATA_DIR: join(root, "data"), GATEWAY_ID: "" };
    expect(await inForce("GATEWAY_ID", [], { env, ...asRoot })).toMatchObject({ value: "of-the-unit" });
    expect(await inForce("GATEWAY_ID", [], { env, uid: 1000 })).not.toMatchObject({ value: "of-the-unit" });
    expect(
      await inForce("GATEWAY_ID", [], { env: { ...env, INVOCATION_ID: "x" }, ...asRoot }),
    ).not.toMatchObject({ value: "of-the-unit" });
    const file = write("s.env", "GATEWAY_ID=named\n");
    expect(await inForce("GATEWAY_ID", ["--env-file", file], { env, ...asRoot })).toMatchObject({
      value: "named",
    });
  });

  test("learns that the unit keeps the service from writing to a DATA_DIR elsewhere", async () => {
    write("etc/systemd/system/sluice.service", systemdUnit);
    const warned = async (dataDir: string) => {
      write("etc/sluice/sluice.env", `DATA_DIR=${dataDir}\n`);
      return (await sluice(["devices", "list"], asRoot)).err.includes(
        `DATA_DIR=${dataDir}: the unit lets the service write only below /var/lib/sluice, `,
      );
    };
    const mine = join(root, "data");
    expect(await warned(mine)).toBe(true);
    expect(await warned("data")).toBe(true);
    expect(await warned("/var/lib/sluice2")).toBe(true);
    expect(await warned("/var/lib/sluice/spool/")).toBe(false);
    for (const line of [`ReadWritePaths=/srv -${root}`, `BindPaths=/srv:${mine}`, "ProtectSystem=full"]) {
      write("etc/systemd/system/sluice.service.d/disk.conf", `[Service]\n${line}\n`);
      expect(await warned(mine)).toBe(false);
    }
  });

  test("without the unit nothing is searched", async () => {
    write("etc/sluice/sluice.env", "GATEWAY_ID=of-the-unit\n");
    expect(await inForce("GATEWAY_ID", [], asRoot)).not.toMatchObject({ value: "of-the-unit" });
  });
});

test("a credential of the unit is the secret with its name, without a setting that names it", async () => {
  const dir = dirname(write("creds/admin-token", "sixteen-characters-1\n"));
  const env = { DATA_DIR: join(root, "data"), CREDENTIALS_DIRECTORY: dir };
  expect(await inForce("ADMIN_TOKEN", [], { env })).toMatchObject({ value: "***", origin: "file" });
  expect(await inForce("MQTT_PASSWORD", [], { env })).toMatchObject({ origin: "default" });
  write("creds/mqtt-password", "");
  expect(await inForce("MQTT_PASSWORD", [], { env })).toContain(
    "MQTT_PASSWORD, credential mqtt-password: the file is empty",
  );
  chmodSync(dir, 0o700);
});

describe("a credential", () => {
  const credentials = (text: string) => dirname(write("creds/admin-token", text));
  const env = () => ({ DATA_DIR: join(root, "data"), CREDENTIALS_DIRECTORY: join(root, "creds") });

  test.each(["ADMIN_TOKEN", "ADMIN_TOKEN_FILE"])("takes precedence over %s, and says so", async (name) => {
    credentials("sixteen-characters-1\n");
    const given = { ...env(), [name]: name.endsWith("_FILE") ? write("other", "short\n") : "short" };
    const { err, code } = await sluice(["check"], { env: given });
    expect(code).not.toBe(78);
    expect(err).toContain(`${name}: not read, since the credential admin-token is given; unset it`);
  });

  test("named by ADMIN_TOKEN_FILE too is no contradiction", async () => {
    credentials("sixteen-characters-1\n");
    const given = { ...env(), ADMIN_TOKEN_FILE: join(root, "creds/admin-token") };
    expect((await sluice(["check"], { env: given })).err).not.toContain("not read");
  });

  test("for a private key is the file that the setting would name", async () => {
    write("creds/broker-tls-key", "no key\n");
    const { err } = await sluice(["check"], { env: { ...env(), BROKER_TLS_KEY: "/elsewhere" } });
    expect(err).toContain(`BROKER_TLS_KEY: ${join(root, "creds/broker-tls-key")}`);
    expect(err).toContain("BROKER_TLS_KEY: not read, since the credential broker-tls-key is given");
    write("creds/broker-tls-key", "(none)");
    expect(await inForce("BROKER_TLS_KEY", [], { env: env() })).toMatchObject({ origin: "default" });
  });

  test("which the unit gives for a file that does not exist is none", async () => {
    credentials("(none)");
    expect(await inForce("ADMIN_TOKEN", [], { env: env() })).toMatchObject({ origin: "default" });
  });

  test("of the generated unit is seen by root's commands: the file, once there is one, before what the service got", async () => {
    write("etc/systemd/system/sluice.service", systemdUnit);
    write("run/credentials/sluice.service/admin-token", "(none)");
    expect(await inForce("ADMIN_TOKEN", [], { uid: 0 })).toMatchObject({ origin: "default" });
    write("etc/sluice/sluice.env", "ADMIN_TOKEN=short\n");
    write("etc/sluice/credentials/admin-token", "sixteen-characters-1\n");
    expect(await inForce("ADMIN_TOKEN", [], { uid: 0 })).toMatchObject({ origin: "file" });
    const { err } = await sluice(["check"], { uid: 0 });
    expect(err).toContain("warning: ADMIN_TOKEN: not read, since the credential admin-token is given");
    write("etc/sluice/credentials/broker-tls-key", "no key\n");
    expect((await sluice(["check"], { uid: 0 })).err).toContain(
      `BROKER_TLS_KEY: ${join(root, "etc/sluice/credentials/broker-tls-key")}`,
    );
    rmSync(join(root, "etc/sluice/credentials/broker-tls-key"));
    write("etc/sluice/credentials/admin-token", "");
    expect(await inForce("ADMIN_TOKEN", [], { uid: 0 })).toContain("the file is empty");
  });
});
