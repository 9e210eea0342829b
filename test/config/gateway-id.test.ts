/**
 * The gateway's name stays with its DATA_DIR, whatever the host is called later: a container that is created anew has
 * another host name.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/index.ts";
import { keepGatewayId } from "../../src/config/gateway-id.ts";
import { thisHost } from "../../src/config/host.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { recordingLog } from "../kit/source.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sluice-id-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A start on a host of that name. */
function start(hostName: string, env: Record<string, string> = {}): string {
  const loaded = loadConfig({ DATA_DIR: dir, ...env }, { ...thisHost, name: () => hostName });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("\n"));
  const { gatewayId } = loaded.config.general;
  keepGatewayId(dir, gatewayId, silentLog);
  return gatewayId;
}

test("the first host name is kept; GATEWAY_ID takes precedence, and is kept in turn", () => {
  expect(start("3f2a9c")).toBe("3f2a9c");
  expect(start("77b01d")).toBe("3f2a9c");
  expect(start("77b01d", { GATEWAY_ID: "site-1" })).toBe("site-1");
  expect(start("77b01d")).toBe("site-1");
  expect(readFileSync(join(dir, "gateway-id"), "utf8")).toBe("site-1\n");
});

test("an invalid name is ignored, and a host name is made valid", () => {
  writeFileSync(join(dir, "gateway-id"), "two words\n");
  expect(start("häuschen.local")).toBe("h-uschen.local");
  expect(start("other")).toBe("h-uschen.local");
});

test("a name that a power cut took is told of, once", () => {
  const { log, lines } = recordingLog();
  writeFileSync(join(dir, "gateway-id"), Buffer.alloc(8));
  for (let starts = 0; starts < 2; starts++) keepGatewayId(dir, "g1", log);
  expect(lines.map(({ msg }) => msg)).toEqual([expect.stringContaining("is lost: if it was another one")]);
  expect(readFileSync(join(dir, "gateway-id"), "utf8")).toBe("g1\n");
});

test("a disk that cannot be written is reported, and is no reason not to start", () => {
  const { log, lines } = recordingLog();
  keepGatewayId(join(dir, "nowhere"), "g1", log);
  expect(lines.map(({ msg }) => msg)).toEqual([expect.stringContaining("set GATEWAY_ID")]);
});
