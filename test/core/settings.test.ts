import { expect, test } from "bun:test";
import { maskUrl } from "../../src/core/settings.ts";

test.each([
  ["a password", "mqtt://me:s3cret@broker:1883", "mqtt://me:***@broker:1883"],
  ["a token as the user, as hosted brokers want it", "mqtts://s3cret@broker", "mqtts://***@broker"],
  ["the same with an empty password", "mqtts://s3cret:@broker", "mqtts://***@broker"],
  ["a token in the query", "https://influx/?token=s3cret&db=a", "https://influx/?token=***&db=a"],
  ["PostgreSQL's user, who has no password", "postgres://me@db/sluice", "postgres://me@db/sluice"],
  ["no secret", "mqtt://broker:1883", "mqtt://broker:1883"],
])("what is shown of a URL with %s", (_, url, shown) => {
  expect(maskUrl(url)).toBe(shown);
});
