/** The attacker's process: `bun assail.ts NAME TIMES TARGET` makes one attack and prints how often it happened. */
import { attacks } from "./attacks/index.ts";
import { targetSchema } from "./attack.ts";

const [name, times, target] = process.argv.slice(2);
const attack = attacks.find((one) => one.name === name);
if (attack === undefined) throw new Error(`no attack ${name}`);
// A victim that defends itself cuts connections; that is no error of the attacker.
process.on("uncaughtException", (error) => console.error(error));
const happened = await attack.run(targetSchema.parse(JSON.parse(target ?? "")), Number(times));
console.log(happened);
process.exit(0);
