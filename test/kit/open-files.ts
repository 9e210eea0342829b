/** The files that this process holds open, as Linux names them: what is opened per message and not closed ends a gateway after hours. */
import { lstatSync, readdirSync, readlinkSync } from "node:fs";

export const openFiles = () =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    const at = `/proc/self/fd/${fd}`;
    return lstatSync(at, { throwIfNoEntry: false }) ? [readlinkSync(at)] : [];
  });
