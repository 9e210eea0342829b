/**
 * What Redis' errors mean. Bun gives every one of them the code ERR_REDIS_SERVER_ERROR; the server's own code is the first word
 * of the message. None of them is news of an entry (the sink's script tells those apart by itself): all are outages, and some
 * want a person.
 */
import { explain } from "../core/log/log.ts";
import { Outage } from "../core/outage.ts";

const noCluster = "it is a Redis Cluster, which Sluice does not support: name a server that is none";

/** First word → what an operator has to do. */
const remedies: Readonly<Record<string, string>> = {
  NOAUTH: "it wants a password: set REDIS_PASSWORD",
  WRONGPASS: "user or password is wrong: correct REDIS_USERNAME and REDIS_PASSWORD",
  NOPERM:
    "the ACL user lacks a right: ACL SETUSER … ~<REDIS_PREFIX>* &sluice:* +@all -@dangerous (and +role with sentinels)",
  DENIED: "it is in protected mode: give it a password, or bind it to loopback",
  WRONGTYPE:
    "a key that Sluice needs for itself (<REDIS_PREFIX>devices, devices:seen or sluice:<GATEWAY_ID>:mark) is somebody else's: remove it, or set REDIS_PREFIX",
  OOM: "its memory is full: raise maxmemory, or lower REDIS_METADATA_TTL",
  DB: "it has no database of that number: correct REDIS_DB or REDIS_URL, or raise its setting databases",
  MISCONF: "it cannot save to its disk and takes no writes: free its disk",
  READONLY: "it is a replica: name the master, or set REDIS_SENTINELS",
  MOVED: noCluster,
  CROSSSLOT: noCluster,
  CLUSTERDOWN: noCluster,
  NOREPLICAS: "it has too few replicas to take writes: see its min-replicas-to-write",
};
/** They end by themselves, as a failover does. */
const passing = new Set(["READONLY", "OOM", "NOREPLICAS", "MISCONF"]);
/** The connection leads to a server that is no use any more. */
const leaveFor = new Set(["READONLY", "MASTERDOWN", "LOADING", "NOAUTH"]);

/** So Redis says within a script what is NOPERM outside of one; the second since 7.2, and Valkey. */
const deniedInScript = /^(ERR )?(The user executing the script can't|ACL failure in script)/;
/** In front of what a script failed of, Redis before 7.0 says where that was, and at times twice. */
const whereInScript = /^(ERR Error running script \(call to \w+\): )?(@user_script: ?\d+: )+-?/;

function firstWord(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const said = error.message.replace(whereInScript, "");
  if (deniedInScript.test(said)) return "NOPERM";
  return /^(?:ERR )?(-?[A-Z]+)\b/.exec(said)?.[1] ?? "";
}

/** Whether the server itself answered so; else the connection failed. */
export function isServerError(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === "ERR_REDIS_SERVER_ERROR";
}

export function wantsAnotherServer(error: unknown): boolean {
  return leaveFor.has(firstWord(error));
}

/** As an outage with the operation, the cause and the remedy. */
export function asOutage(place: string, error: unknown): Outage {
  if (error instanceof Outage) return error;
  const word = firstWord(error);
  const remedy = remedies[word];
  const said = `Redis at ${place}: ${explain(error)}${remedy === undefined ? "" : `; ${remedy}`}`;
  return new Outage(said, { alarm: remedy !== undefined && !passing.has(word) });
}
