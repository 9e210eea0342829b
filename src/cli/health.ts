/** `sluice health`: does the gateway on this host answer? For a container's HEALTHCHECK, whose image has no HTTP client. */
import { z } from "zod";
import { command, toggle } from "./command.ts";
import { configured } from "./configuration.ts";
import { reachable } from "./which-gateway.ts";

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
    const text = await response.text();
    // Another program may have the port, and answer whatever it is asked for with its own page.
    if (response.ok && !isOurs(text)) throw new Error(`what answers at ${url} is no gateway`);
    context.stdout(`${text.trim()}\n`);
    return response.ok ? 0 : 1;
  },
});

function isOurs(text: string): boolean {
  try {
    return good.safeParse(JSON.parse(text)).success;
  } catch {
    return false;
  }
}

const good = z.object({ status: z.enum(["ok", "ready"]) });
