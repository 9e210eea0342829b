/** What is known against the disk of DATA_DIR. */
import { expect, test } from "bun:test";
import { doubtOfDisk } from "../../src/cli/disk-kind.ts";

test("a disk that does not say what it is ends nothing", () => {
  expect(doubtOfDisk("/not/there")).toBeUndefined();
});
