/**
 * A real Kafka for tests: one JVM on free loopback ports, its files in a temporary directory, ended by process id.
 *
 * Its jars lie in the folder that SLUICE_TEST_KAFKA names, else in ~/.cache/sluice/kafka-4.4.0 (`.ci/run` puts them there). A
 * directory is formatted once per set of options and copied for each broker, for to format takes as long as to start; an archive of
 * classes that the first start leaves beside the jars halves all later ones.
 */
import { spawn, type ChildProcess } from "node:child_process";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../port.ts";
import { until } from "../until.ts";
import { coordinatorsReady } from "./ready.ts";

export interface KafkaOptions {
  /** Further lines of server.properties. */
  readonly properties?: readonly string[];
  /** Further arguments of the format, such as --add-scram or --feature. */
  readonly format?: readonly string[];
  /** Further listeners by name, with the protocol of each: SASL → SASL_PLAINTEXT. */
  readonly listeners?: Readonly<Record<string, string>>;
  /** How many brokers; the first is the controller as well. */
  readonly brokers?: number;
  /** Further arguments of the JVM. */
  readonly java?: readonly string[];
}

export interface Kafka {
  /** host:port of the first broker. */
  readonly bootstrap: string;
  /** Ports of the further listeners of the first broker. */
  readonly ports: Readonly<Record<string, number>>;
  readonly brokers: readonly KafkaBroker[];
  stop(): Promise<void>;
}

export interface KafkaBroker {
  readonly port: number;
  readonly nodeId: number;
  pid(): number;
  /** SIGKILL, SIGTERM: resolves when it is gone. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  start(): Promise<void>;
  /** What it logged. */
  log(): string;
  /** The directories of its partitions are in it. */
  readonly dataDir: string;
}

const home = process.env["SLUICE_TEST_KAFKA"] ?? join(homedir(), ".cache/sluice/kafka-4.4.0");
const clusterId = "4L6g3nShT-eMCtK--X86sw";
const java = Bun.which("java") ?? "";
const readyMs = 60_000;

/** "" if a broker can be started, else why not. */
export function kafkaAvailable(): string {
  if (java === "") return "no java (apt-get install openjdk-17-jre-headless)";
  const lib = join(home, "lib");
  const hasJars = existsSync(lib) && readdirSync(lib).some((name) => name.startsWith("kafka_2.13-"));
  return hasJars ? "" : `no jars of Kafka in ${lib} (see .ci/run)`;
}

export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  const { brokers: count = 1, listeners = {} } = options;
  if (options.java === undefined) await archiveClasses();
  const dir = mkdtempSync(join(tmpdir(), "sluice-kafka-"));
  const controller = await freePort();
  const ports: Record<string, number> = {};
  for (const name of Object.keys(listeners)) ports[name] = await freePort();
  const template = await formatted(options);
  const brokers: KafkaBroker[] = [];
  const processes: (() => ChildProcess | undefined)[] = [];
  for (let node = 1; node <= count; node++) {
    const at = join(dir, `node-${node}`);
    cpSync(template, join(at, "data"), { recursive: true });
    const meta = join(at, "data/meta.properties");
    const identity = readFileSync(meta, "utf8").replace(/^node.id=.*$/m, `node.id=${node}`);
    // Each log directory of a cluster has an id of its own.
    writeFileSync(
      meta,
      identity.replace(/^directory.id=.{2}/m, `directory.id=${String.fromCharCode(64 + node)}A`),
    );
    const port = await freePort();
    writeFileSync(
      join(at, "server.properties"),
      propertiesOf({ node, port, controller, dir: at, options, ports: node === 1 ? ports : {} }),
    );
    const { broker, child } = brokerAt(at, node, port, options.java ?? []);
    brokers.push(broker);
    processes.push(child);
  }
  const reaper = spawn(
    "sh",
    [
      "-c",
      `cat >/dev/null; for f in "$1"/*/pid; do kill -9 "$(cat "$f")" 2>/dev/null; done; sleep 0.3; rm -rf "$1"`,
      "reaper",
      dir,
    ],
    {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    },
  );
  reaper.unref();
  await Promise.all(brokers.map((broker) => broker.start()));
  if (options.java?.some((flag) => flag.includes("ArchiveClassesAtExit")) !== true)
    await coordinatorsReady(brokers[0]?.port ?? 0);
  return {
    bootstrap: `127.0.0.1:${brokers[0]?.port}`,
    ports,
    brokers,
    async stop() {
      for (const child of processes) child()?.kill("SIGKILL");
      reaper.stdin?.end();
      await new Promise((resolve) => reaper.once("exit", resolve));
    },
  };
}

let shared: Promise<Kafka> | undefined;

/** The broker of this test process, started at first use and ended with it; each test makes topics of its own. */
export function sharedKafka(): Promise<Kafka> {
  shared ??= startKafka();
  return shared;
}

function brokerAt(
  dir: string,
  nodeId: number,
  port: number,
  more: readonly string[],
): { broker: KafkaBroker; child: () => ChildProcess | undefined } {
  let running: ChildProcess | undefined;
  const logFile = join(dir, "log");
  const broker: KafkaBroker = {
    port,
    nodeId,
    dataDir: join(dir, "data"),
    pid: () => running?.pid ?? 0,
    log: () => (existsSync(logFile) ? readFileSync(logFile, "utf8") : ""),
    async end(signal) {
      const ending = running;
      running = undefined;
      if (ending === undefined) return;
      const gone = new Promise((resolve) => ending.once("exit", resolve));
      ending.kill(signal);
      await gone;
    },
    signal(signal) {
      running?.kill(signal);
    },
    async start() {
      const started = runJava(["kafka.Kafka", join(dir, "server.properties")], logFile, more);
      writeFileSync(join(dir, "pid"), String(started.pid));
      running = started;
      let gone = false;
      started.once("exit", () => (gone = true));
      await until(async () => {
        if (gone && running === started) throw new Error(`the broker ended:\n${broker.log().slice(-2000)}`);
        if (!(await answers(port)))
          throw new Error(`no broker answers on ${port}:\n${broker.log().slice(-2000)}`);
      }, readyMs);
    },
  };
  return { broker, child: () => running };
}

const flags = ["-Xms128m", "-Xmx160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const archive = join(home, "kafka.jsa");

function runJava(args: readonly string[], logFile: string, more: readonly string[] = []): ChildProcess {
  const archived = existsSync(archive) ? [`-XX:SharedArchiveFile=${archive}`] : [];
  const quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
  const out = openSync(logFile, "a");
  try {
    const all = [...flags, ...archived, ...more, quiet, "-cp", join(home, "lib/*"), ...args];
    return spawn(java, all, { stdio: ["ignore", out, out] });
  } finally {
    closeSync(out);
  }
}

/** A formatted directory for these options, made at first use. */
async function formatted({ format = [] }: KafkaOptions): Promise<string> {
  const kept = join(home, `formatted-${Bun.hash(format.join(" ")).toString(36)}`);
  if (existsSync(kept)) return kept;
  const dir = mkdtempSync(join(home, "format-"));
  const properties = propertiesOf({ node: 1, port: 9092, controller: 9093, dir, options: {}, ports: {} });
  writeFileSync(join(dir, "server.properties"), properties);
  const args = [
    "kafka.tools.StorageTool",
    "format",
    "-t",
    clusterId,
    "-c",
    join(dir, "server.properties"),
    ...format,
  ];
  const log = join(dir, "log");
  const code = await new Promise((resolve) => runJava(args, log).once("exit", resolve));
  if (code !== 0)
    throw new Error(`the format of a directory for Kafka: ${readFileSync(log, "utf8").slice(-2000)}`);
  // Another test process may have been faster.
  if (!existsSync(kept)) renameSync(join(dir, "data"), kept);
  rmSync(dir, { recursive: true });
  return kept;
}

interface Node {
  readonly node: number;
  readonly port: number;
  readonly controller: number;
  readonly dir: string;
  readonly options: KafkaOptions;
  readonly ports: Readonly<Record<string, number>>;
}

/** Nothing expires, for events of tests lie months back and went half a minute after the broker's start. */
function propertiesOf({ node, port, controller, dir, options, ports }: Node): string {
  const { properties = [], listeners = {}, brokers = 1 } = options;
  const own = Object.entries(ports).map(([name, at]) => `,${name}://127.0.0.1:${at}`);
  const protocols = Object.entries(listeners).map(([name, protocol]) => `,${name}:${protocol}`);
  const control = node === 1 ? `,CONTROLLER://127.0.0.1:${controller}` : "";
  const copies = Math.min(brokers, 2);
  return `process.roles=${node === 1 ? "broker,controller" : "broker"}
node.id=${node}
controller.quorum.voters=1@127.0.0.1:${controller}
listeners=PLAINTEXT://127.0.0.1:${port}${own.join("")}${control}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}${own.join("")}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT${protocols.join("")}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=${join(dir, "data")}
num.partitions=3
offsets.topic.replication.factor=${copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=${copies}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
auto.create.topics.enable=false
log.retention.hours=-1
${properties.join("\n")}
`;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

/** Leaves the archive of classes beside the jars: one start and ordered stop of a broker. */
async function archiveClasses(): Promise<void> {
  if (existsSync(archive)) return;
  const made = `${archive}.${process.pid}`;
  const kafka = await startKafka({ java: [`-XX:ArchiveClassesAtExit=${made}`] });
  await kafka.brokers[0]?.end("SIGTERM");
  await kafka.stop();
  renameSync(made, archive);
}
