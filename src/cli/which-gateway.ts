/** Which running gateway a command works with: the one that --gateway names, else the one on this host. */
import { hostPort, parseListen } from "../core/net/listen.ts";
import { type Context, json, string } from "./command.ts";
import { configured } from "./configuration.ts";
import { type GatewayClient, gatewayClient } from "./gateway-client.ts";

/** @param otherwise what the command works with if none is named */
export function gatewayOptions(otherwise: string) {
  return {
    gateway: string(
      "--gateway <url>",
      `A running gateway (ADMIN_TOKEN holds its token), such as http://127.0.0.1:8080 (default: ${otherwise})`,
    ),
    tokenFile: string("--token-file <path>", "A file that holds the gateway's token, instead of ADMIN_TOKEN"),
  };
}

/** Of commands that can do nothing without a running gateway. */
export const runningOptions = { ...gatewayOptions("the one on this host, HTTP_LISTEN"), json };

/** Of commands about what stands in the registry. */
export const registryOptions = gatewayOptions("none, but the registry that the settings name");

export interface WhichGateway {
  /** The gateway's URL; undefined: the gateway on this host, whose address and token the settings give. */
  readonly gateway: string | undefined;
  readonly tokenFile: string | undefined;
}

/** @param answerMs how long an answer may take; absent: as long as one that needs a database */
export function clientOf(
  context: Context,
  { gateway, tokenFile }: WhichGateway,
  answerMs?: number,
): GatewayClient {
  if (gateway !== undefined) return gatewayClient(context, gateway, tokenFile, answerMs);
  const { listen, adminToken } = configured(context).config.http;
  const env = { ...context.env, ADMIN_TOKEN: adminToken };
  return gatewayClient({ ...context, env }, `http://${reachable(listen)}`, tokenFile, answerMs);
}

/** The address to connect to; loopback for a listener on every interface. */
export function reachable(listen: string): string {
  const { host, port } = parseListen(listen) ?? { host: "127.0.0.1", port: 8080 };
  if (host === "0.0.0.0") return `127.0.0.1:${port}`;
  if (host === "::") return `[::1]:${port}`;
  return hostPort({ host, port });
}
