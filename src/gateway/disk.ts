/** Opens the spool and the store, which know no other part; what can refuse a start refuses it here, before anything is built. */
import { keepGatewayId } from "../config/gateway-id.ts";
import { makeDataDir } from "../config/host.ts";
import type { Config } from "../config/index.ts";
import type { Closers } from "../core/closers.ts";
import type { Log } from "../core/log/log.ts";
import { memoryShares } from "../core/memory/budget.ts";
import type { Store } from "../core/store.ts";
import type { HostClock } from "../core/host-clock.ts";
import { Spool } from "../spool/spool.ts";
import { openStore, whyNotHere } from "../store/open-store.ts";

export interface DiskParts {
  readonly config: Config;
  readonly log: Log;
  readonly clock: HostClock;
  readonly closers: Closers;
  /** In place of the one that the settings name. */
  readonly store?: Store | undefined;
}

/** @throws if the spool cannot be had, or rows of an earlier site would be left behind, or are lost */
export function openDisk({ config, log, clock, closers, store: given }: DiskParts) {
  const { general, postgres } = config;
  const { dataDir, gatewayId } = general;
  makeDataDir(dataDir);
  const spool = new Spool({ dataDir, settings: config.spool, clock, memory: memoryShares(config.memory) });
  closers.add(() => spool.close());
  const whyNot = given ? undefined : whyNotHere({ postgres, dataDir, spool });
  if (whyNot !== undefined) throw new Error(whyNot);
  keepGatewayId(dataDir, gatewayId, log);
  closers.add(clock.stop);
  clock.begin(spool.newestAtStartMs);
  const store = given ?? openStore({ dataDir, gatewayId, postgres, clock, log, spool });
  closers.add(() => store.close());
  return { spool, store };
}
