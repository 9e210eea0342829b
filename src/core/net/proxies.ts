/**
 * The proxies of the environment, through which the runtime sends each request over HTTP. A container engine gives them to every container, so
 * that nobody may know of them.
 */

type Environment = Readonly<Record<string, string | undefined>>;

/** As the program was started with. */
let environment: Environment = {};

const pastOf = (env: Environment): string => (env["no_proxy"] || env["NO_PROXY"] || "").trim();

/**
 * What this host says to itself goes past them. There it would look for a gateway on the proxy's own host, and with ADMIN_TOKEN.
 * Rejected alternative: to say so at each request, for then the next one that is written forgets it.
 */
export function goPastProxies(env: Record<string, string | undefined>): void {
  environment = env;
  const past = pastOf(env);
  // The runtime reads no_proxy first, and takes "*" for all only if it stands alone.
  if (past !== "*") env["no_proxy"] = [past, "localhost,127.0.0.1,::1"].filter(Boolean).join();
}

/**
 * The variable whose proxy requests to this URL go through: what looks like the server's fault may be the proxy's. In no_proxy the runtime
 * takes more than what is read here, as networks (10.0.0.0/8).
 * @returns undefined: they go past it
 */
export function proxyVariable(url: string): string | undefined {
  const { protocol, host, hostname: written } = new URL(url);
  const hostname = written.replace(/^\[|\]$/g, "");
  const isMeant = (entry: string) =>
    [host, hostname].includes(entry) || (entry !== "" && hostname.endsWith(`.${entry}`));
  const past = pastOf(environment).toLowerCase();
  if (past === "*" || past.split(",").some((entry) => isMeant(entry.trim().replace(/^\./, ""))))
    return undefined;
  const name = protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  return [name.toLowerCase(), name].find((each) => environment[each]);
}
