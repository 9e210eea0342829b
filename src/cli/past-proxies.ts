/**
 * What this host says to itself goes past the proxies of its environment, which a container engine gives to every container: the runtime
 * sends each request through them, also one to loopback. There it would look for a gateway on the proxy's own host, and with ADMIN_TOKEN.
 * Rejected alternative: to say so at each request, for then the next one that is written forgets it.
 */
export function goPastProxies(env: Record<string, string | undefined>): void {
  const past = (env["no_proxy"] || env["NO_PROXY"] || "").trim();
  // The runtime reads no_proxy first, and takes "*" for all only if it stands alone.
  if (past !== "*") env["no_proxy"] = [past, "localhost,127.0.0.1,::1"].filter(Boolean).join();
}
