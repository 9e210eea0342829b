/** Writes one line of the log as main.ts does. */
import { logForm } from "../../src/core/log/form.ts";
import { createLog, logWritten } from "../../src/core/log/log.ts";

createLog("info", 1, logForm(1, process.env)).warn({ who: "me" }, "said");
await logWritten(1_000);
