/**
 * A change of the registry that got no answer: a COMMIT may yet be done, as one that waits for its synchronous standby, and with it comes
 * into force a token that nobody may have seen.
 */
import { isDiskFull } from "../../core/file/sqlite.ts";
import type { DeviceStore, NewDevice } from "../../core/device.ts";
import { counted } from "../../core/text/readable.ts";
import { serverError } from "../../store/postgres/postgres-client.ts";
import { type Context, UsageError } from "../command.ts";
import { NotDone } from "../gateway-client.ts";
import { named } from "./print-devices.ts";

const notInForce = "the printed token is not in force\n";
const perhapsInForce =
  "whether the printed token is in force is not sure: `sluice devices rotate-token` prints one that is\n";

/**
 * @param change puts a token that was printed in force; returns true, or an exit code. If it does not, or is refused, this says so; and if
 * nothing answers, that nobody knows.
 */
export async function inForce(context: Context, change: () => Promise<true | number>): Promise<number> {
  try {
    const done = await change();
    if (done === true) return 0;
    context.stderr(notInForce);
    return done;
  } catch (error) {
    context.stderr(isRefusal(error) ? notInForce : perhapsInForce);
    throw error;
  }
}

/** Adds devices, and says of those that may be added all the same that their tokens were not printed. @param isMade tokens are made */
export function addingTo(context: Context, devices: DeviceStore, isMade: boolean): Pick<DeviceStore, "add"> {
  return {
    async add(some) {
      try {
        return await devices.add(some);
      } catch (error) {
        if (isMade && !isRefusal(error)) context.stderr(perhapsAdded(some));
        throw error;
      }
    },
  };
}

function perhapsAdded(some: readonly NewDevice[]): string {
  const [first] = some;
  const from = first === undefined ? "" : `, from ${named(first)} on,`;
  return `whether ${counted(some.length, "device")}${from} will be registered is not sure, and the tokens made for them were not printed: \`sluice devices rotate-token\` gives one to each that is registered when the file is imported again\n`;
}

/** What the store or the gateway has refused is not done; PostgreSQL calls FATAL what may be. */
const isRefusal = (error: unknown) =>
  error instanceof UsageError ||
  error instanceof NotDone ||
  serverError(error)?.severity === "ERROR" ||
  isDiskFull(error);
