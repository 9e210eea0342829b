import { expect, test } from "bun:test";
import { hostPort, parseListen } from "../../../src/core/net/listen.ts";

test.each(["127.0.0.1:8080", "[::1]:8080", "gateway.site:1883", "[fe80::1]:0"])(
  "%s is printed as it is written",
  (text) => {
    const read = parseListen(text);
    expect(read && hostPort(read)).toBe(text);
  },
);
