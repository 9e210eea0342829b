/** Whether the gateway can listen where its settings say, for `sluice check`. */
import { createServer } from "node:net";
import { cannotListen } from "./cannot-listen.ts";
import { hostPort, parseListen } from "./listen.ts";

/**
 * A port that is in use is no fault: a gateway that runs has it, and which of the two it is only a start can tell.
 * @throws if nothing can listen there; the message names the setting
 */
export async function probePort(setting: string, said: string): Promise<string> {
  const where = parseListen(said) ?? { host: said, port: 0 };
  const server = createServer();
  const failed = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    server.once("error", resolve);
    server.listen(where.port, where.host, () => server.close(() => resolve(undefined)));
  });
  if (failed === undefined) return `${hostPort(where)} is free`;
  if (failed.code === "EADDRINUSE")
    return `${hostPort(where)} is in use, by a gateway that runs or by another program`;
  throw cannotListen(setting, where, failed);
}
