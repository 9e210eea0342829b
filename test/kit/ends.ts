/** What a test starts is ended after it, the last first: a source before its broker. (`onTestFinished` begins with the first.) */
import { afterEach } from "bun:test";

/** To be called where a test file or a `describe` begins. @returns takes what ends the things that a test starts */
export function endsAfterEach(): (() => unknown)[] {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  return ends;
}
