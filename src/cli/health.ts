/** `sluice health`: does the gateway on this host answer? For a container's HEALTHCHECK, whose image has no HTTP client. */
import { hostPort, parseListen } from "../core/listen.ts";
import { command, toggle } from "./command.ts";
import { configured } from "./configuration.ts";

const answerMs = 3_000;

export const health = command({
  name: "health",
  summary: "Check whether the gateway on this host answers (HTTP_LISTEN)",
  options: { ready: toggle("--ready", "Check also whether every part of it is ready") },
  async run(context, { options }) {
    const { config } = configured(context);
    const url = `http://${reachable(config.http.listen)}${options.ready ? "/readyz" : "/healthz"}`;
    const response = await fetch(url, { signal: AbortSignal.timeout(answerMs) }).catch((cause: unknown) => {
      throw new Error(`no gateway answers at ${url}`, { cause });
    });
    context.stdout(`${(await response.text()).trim()}\n`);
    return response.ok ? 0 : 1;
  },
});

/** The address to connect to; loopback for a listener on every interface. */
export function reachable(listen: string): string {
  const { host, port } = parseListen(listen) ?? { host: "127.0.0.1", port: 8080 };
  if (host === "0.0.0.0") return `127.0.0.1:${port}`;
  if (host === "::") return `[::1]:${port}`;
  return hostPort({ host, port });
}
