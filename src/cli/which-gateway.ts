/** Which running gateway a command works with: the one that --gateway names, else the one on this host. */
import { hostPort, parseListen } from "../core/listen.ts";
import { type Context, string, toggle } from "./command.ts";
import { configured } from "./configuration.ts";
import { type GatewayClient, gatewayClient } from "./gateway-client.ts";

export const gatewayOptions = {
  gateway: string(
    "--gateway <url>",
    "A running gateway (ADMIN_TOKEN holds its token), such as http://127.0.0.1:8080",
  ),
  tokenFile: string("--token-file <path>", "A file that holds the gateway's token, instead of ADMIN_TOKEN"),
};

/** Of commands that can do nothing without a running gateway. */
export const runningOptions = {
  gateway: {
    ...gatewayOptions.gateway,
    help: `${gatewayOptions.gateway.help} (default: the one on this host, HTTP_LISTEN)`,
  },
  tokenFile: gatewayOptions.tokenFile,
  json: toggle("--json", "Print the answer as JSON"),
};

export interface WhichGateway {
  /** The gateway's URL; undefined: the gateway on this host, whose address and token the settings give. */
  readonly gateway: string | undefined;
  readonly tokenFile: string | undefined;
}

export function clientOf(context: Context, { gateway, tokenFile }: WhichGateway): GatewayClient {
  if (gateway !== undefined) return gatewayClient(context, gateway, tokenFile);
  const { listen, adminToken } = configured(context).config.http;
  const env = { ...context.env, ADMIN_TOKEN: adminToken };
  return gatewayClient({ ...context, env }, `http://${reachable(listen)}`, tokenFile);
}

/** The address to connect to; loopback for a listener on every interface. */
export function reachable(listen: string): string {
  const { host, port } = parseListen(listen) ?? { host: "127.0.0.1", port: 8080 };
  if (host === "0.0.0.0") return `127.0.0.1:${port}`;
  if (host === "::") return `[::1]:${port}`;
  return hostPort({ host, port });
}
