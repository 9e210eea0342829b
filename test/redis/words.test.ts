/** What Redis' errors mean, also in the words of versions that the other tests do not run. */
import { describe, expect, test } from "bun:test";
import { asOutage, wantsAnotherServer } from "../../src/redis/redis-words.ts";

describe("what Redis 6.2.5 says of a script that failed", () => {
  const running = "ERR Error running script (call to f_b24dfcb0c3ec8a76ed2f442ce075739bbf90877c): ";
  test.each([
    [
      `${running}@user_script:3: @user_script: 3: -OOM command not allowed when used memory > 'maxmemory'.  `,
      "raise maxmemory",
      false,
    ],
    [
      "@user_script: 19: -READONLY You can't write against a read only replica.  ",
      "it is a replica: name the master",
      false,
    ],
    [
      "@user_script: 17: The user executing the script can't run this command or subcommand",
      "the ACL user lacks a right",
      true,
    ],
    [
      `${running}@user_script:51: WRONGTYPE Operation against a key holding the wrong kind of value`,
      "is somebody else's: remove it",
      true,
    ],
  ])("%s", (said, remedy, isAlarm) => {
    const outage = asOutage("here:6379", new Error(said));
    expect(outage.message).toContain(remedy);
    expect(outage.alarm).toBe(isAlarm);
    expect(wantsAnotherServer(new Error(said))).toBe(said.includes("READONLY"));
  });
});
