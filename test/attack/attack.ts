/**
 * A row of the attack table: what a neighbour does to the gateway, who can do it, what it costs him, and what the others notice.
 *
 * An attack is a fault that somebody intends, so it runs as a row of the fault suite does (test/fault/fault.ts: site, oracle,
 * books), with three things more: the gateway lives under a memory limit, the attacker is a process of its own (he must not slow
 * the clocks that measure), and honest devices are measured before and while he is at work.
 *
 * To add one: a row in a file of attacks/, that file in attacks/index.ts. `run` is called in the attacker's process and knows
 * nothing but its `Target`; it attacks from `Target.from`, since the honest devices live at another address, ends by
 * itself, in count and in time, and returns how often it did what it says. What it leaves in the tables must not carry "n",
 * which is the oracle's number of an honest message. `also` runs in the test's process at the end, for what must hold besides.
 * Always asserted: the same process is alive, nothing is lost or doubled, the books balance, and the four times below.
 */
import { z } from "zod";
import { explain } from "../../src/core/log/log.ts";
import type { Stats } from "../../src/admin/measurements.ts";
import type { FleetDevice } from "../../src/simulator/device.ts";
import { makeCertificates, type Certificates } from "../kit/tls.ts";
import { freePort } from "../kit/port.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { until } from "../kit/until.ts";
import type { Fault } from "../fault/fault.ts";
import type { Site } from "../fault/site.ts";
import { watchNeighbours, type Noticed } from "./honest.ts";
import { memoryLimit } from "./limit.ts";

export interface Attack {
  /** For --only. */
  readonly name: string;
  /** What he does, how often included. */
  readonly says: string;
  readonly who: string;
  /** What it costs him. */
  readonly costs: string;
  readonly env?: Readonly<Record<string, string>>;
  /**
   * "embedded" (default): the gateway is the broker, with local tables. "broker": Mosquitto and PostgreSQL, as in the
   * fault suite.
   */
  readonly site?: "embedded" | "broker";
  /** The embedded broker requires proof at CONNECT, and listens with TLS as well. */
  readonly auth?: boolean;
  /** Messages are taken over HTTP, too. */
  readonly ingest?: boolean;
  /** PostgreSQL is away and the spool is full during the attack, so nobody gets a PUBACK before it is over. */
  readonly held?: boolean;
  /** Descriptors that the gateway may have; absent: as many as this process. */
  readonly files?: number;
  /** How often in the selection for CI (0: not in it) and in the long run. */
  readonly few: number;
  readonly many: number;
  /** Prepares the attack in the test's process, with the gateway running. */
  before?(site: Site): Promise<void>;
  run(target: Target, times: number): Promise<number>;
  /** What else must be true at the end: one sentence per thing that is not. */
  also?(site: Site, gateway: GatewayProcess, stats: readonly Stats[]): string[] | Promise<string[]>;
}

export const targetSchema = z.object({
  /** Attack from this loopback address. */
  from: z.string(),
  host: z.string(),
  mqttPort: z.number(),
  /** 0: no TLS. */
  tlsPort: z.number(),
  httpPort: z.number(),
  /** HTTP ingest; 0: there is none. */
  ingestPort: z.number(),
  pid: z.number(),
  /** One device that the attacker owns. */
  own: z.object({ tenantId: z.string(), deviceId: z.string(), siteId: z.string(), token: z.string() }),
  /** The name, and nothing else, of one that he does not. */
  other: z.object({ tenantId: z.string(), deviceId: z.string() }),
});
export type Target = z.infer<typeof targetSchema>;

const memoryBytesMax = 512 * 1024 * 1024;
const honestDevices = 12;
const calmMs = 1500;
const from = "127.0.0.66";
/**
 * The four times: PUBACK (99th percentile), `/healthz` (longest), and the same for devices that connect meanwhile.
 */
const limitMs = 1000;
/** A machine that is slow when calm may be as many times slower under attack; a fast one may not. */
const calmTimesMax = 20;

/** An attack as a fault, and what came of it beyond that. */
export function faultOf(attack: Attack): Fault & { noticed(): Noticed | undefined; how(): string } {
  const limit = memoryLimit(memoryBytesMax);
  let certificates: Certificates | undefined;
  let gateway: GatewayProcess | undefined;
  let noticed: Noticed | undefined;

  const launch = async (env: Record<string, string>, dataDir: string) => {
    const tls = certificates && {
      BROKER_REQUIRE_AUTH: "1",
      BROKER_TLS_LISTEN: `127.0.0.1:${await freePort()}`,
      BROKER_TLS_CERT: certificates.serverCert,
      BROKER_TLS_KEY: certificates.serverKey,
    };
    const ingest = attack.ingest && { INGEST_LISTEN: `127.0.0.1:${await freePort()}` };
    gateway = await startGateway({ ...env, ...tls, ...ingest }, dataDir, {
      within: [...limit.within, ...(attack.files ? ["prlimit", `--nofile=${attack.files}`] : [])],
    });
    limit.watch(gateway.pid);
    return gateway;
  };

  async function run(site: Site, times: number): Promise<number> {
    if (gateway === undefined) throw new Error("no gateway was started");
    const isAlive = () => gateway?.exitCode() === null;
    const target = targetOf(site, gateway);
    await site.register([ownDevice]);
    await attack.before?.(site);
    const honest = { site, gateway, auth: attack.auth ?? false };
    const calm = await watchNeighbours(honest, () => Bun.sleep(calmMs));
    const release = attack.held ? await hold(site) : undefined;
    let happened = 0;
    const during = await watchNeighbours(honest, async () => {
      happened = await assail(attack, target, times, isAlive);
      await release?.();
    });
    noticed = { calm, during, peakBytes: isAlive() ? gateway.peakBytes() : 0 };
    if (!isAlive()) throw new Error(`the gateway was killed, ${limit.how}`);
    return happened;
  }

  return {
    name: attack.name,
    says: attack.says,
    few: attack.few,
    many: attack.many,
    site: {
      rate: 0,
      devices: honestDevices,
      faults: {},
      strangers: true,
      protocolVersion: attack.site === "broker" ? 5 : 4,
      embedded: attack.site !== "broker",
      local: attack.site !== "broker" && !attack.held,
      env: attack.env ?? {},
      launch,
    },
    prepare() {
      if (attack.auth) certificates ??= makeCertificates();
      return "";
    },
    done() {
      certificates?.remove();
      certificates = undefined;
      limit.close();
    },
    run,
    async also(site, stats) {
      if (gateway === undefined || noticed === undefined) return [];
      return [...late(noticed, attack.held === true), ...((await attack.also?.(site, gateway, stats)) ?? [])];
    },
    noticed: () => noticed,
    how: () => limit.how,
  };
}

/** A sentence for each time that is too long. */
function late({ calm, during }: Noticed, isHeld: boolean): string[] {
  return (["pubackP99Ms", "healthMs", "connectMs"] as const).flatMap((name) => {
    if (isHeld && name === "pubackP99Ms") return [];
    const [before, meanwhile] = [calm[name], during[name]];
    const allowedMs = Math.max(limitMs, calmTimesMax * before);
    return meanwhile <= allowedMs
      ? []
      : [
          `${name} was ${Math.round(meanwhile)} during the attack (calm ${before.toFixed(1)}, allowed ${Math.round(allowedMs)})`,
        ];
  });
}

const token = "tok-the-attackers-own-device-00000000";
const ownDevice: FleetDevice = {
  tenantId: "acme",
  deviceId: "attacker-0001",
  siteId: "lab-1",
  status: "ACTIVE",
  token,
  tokenHash: new Bun.CryptoHasher("sha256").update(token).digest("hex"),
};

function targetOf(site: Site, gateway: GatewayProcess): Target {
  const tlsPort = /127\.0\.0\.1:(\d+) \(TLS\)/.exec(gateway.log())?.[1];
  const ingestPort = /listens at http:\/\/127\.0\.0\.1:(\d+)/.exec(gateway.log())?.[1];
  const other = site.oracle.fleet.devices[0];
  if (other === undefined) throw new Error("the fleet is too small");
  return {
    from,
    host: "127.0.0.1",
    mqttPort: site.options.embedded ? site.embeddedPort : site.broker.port,
    tlsPort: Number(tlsPort ?? 0),
    httpPort: Number(new URL(gateway.url).port),
    ingestPort: Number(ingestPort ?? 0),
    pid: gateway.pid,
    own: ownDevice,
    other,
  };
}

/** Takes the database away until the intake is held. @returns a function that ends that */
async function hold(site: Site): Promise<() => Promise<void>> {
  site.databaseLine.mode("refuse");
  const load = site.load(400);
  await until(async () => (await site.gateway.stats()).ingest["held"] !== null, 60_000);
  return async () => {
    site.databaseLine.mode("pass");
    await load.stop();
  };
}

const attackMs = 90_000;

/**
 * Runs the attack in a process of its own, as long as there is a victim. @throws with its output if it does not end
 * well
 */
async function assail(
  { name }: Attack,
  target: Target,
  times: number,
  isAlive: () => boolean,
): Promise<number> {
  const child = Bun.spawn(
    [process.execPath, `${import.meta.dir}/assail.ts`, name, String(times), JSON.stringify(target)],
    { stdio: ["ignore", "pipe", "pipe"], timeout: attackMs, killSignal: "SIGKILL" },
  );
  const looking = setInterval(() => isAlive() || child.kill("SIGKILL"), 100);
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const code = await child.exited;
  clearInterval(looking);
  if (code !== 0 && isAlive()) throw new Error(`the attacker ended with ${code}: ${explain(err)}`);
  return Number(out);
}
