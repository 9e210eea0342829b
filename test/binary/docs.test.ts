/** /docs as a reader uses it: every endpoint has a curl line that works at a real gateway, an example that fits its schema, and words. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { z } from "zod";
import { fieldsOf, referred } from "../../src/http/docs.ts";
import type { JsonSchema, OpenApi, Operation } from "../../src/http/openapi.ts";
import { exampleRequests } from "../../src/http/requests.ts";
import type { Kind } from "../../src/core/kind.ts";
import { SINKS } from "../../src/sink/index.ts";
import { SOURCES } from "../../src/source/index.ts";
import { walk, type Walked } from "../http-examples.ts";

setDefaultTimeout(60_000);

let document: OpenApi;
let walked: readonly Walked[];
beforeAll(async () => {
  ({ document, walked } = await walk());
});

const operations = (): readonly Operation[] =>
  Object.values(document.paths).flatMap((methods) => Object.values(methods));

const schemaOf = (reference: JsonSchema): JsonSchema => {
  const name = referred(reference);
  const found = (document.components["schemas"] as Readonly<Record<string, JsonSchema>>)[name];
  if (found === undefined) throw new Error(`there is no schema ${name}`);
  return found;
};

test("every endpoint has an example request, and every example an endpoint", () => {
  const ids = operations().map(({ operationId }) => operationId);
  expect(Object.keys(exampleRequests).toSorted()).toEqual(ids.toSorted());
});

test("every curl line works at a new gateway", () => {
  const wrong = walked.filter(({ id, status }) => {
    const { responses } = operations().find(({ operationId }) => operationId === id) ?? { responses: {} };
    const good = Object.keys(responses).find((each) => each.startsWith("2"));
    return String(status) !== good;
  });
  expect(wrong).toEqual([]);
});

test("every answer in JSON has a schema by name, and its example fits it", () => {
  const withoutExample: string[] = [];
  for (const { operationId, responses } of operations()) {
    const [, answer] = Object.entries(responses).find(([status]) => status.startsWith("2")) ?? [];
    const content = answer?.content["application/json"];
    if (content === undefined) continue;
    const schema = schemaOf(content.schema);
    if (content.example === undefined) withoutExample.push(operationId);
    else
      expect([operationId, z.fromJSONSchema(schema).safeParse(content.example).error]).toEqual([
        operationId,
        undefined,
      ]);
  }
  // The document would be an example of itself.
  expect(withoutExample).toEqual(["docs.openapi"]);
});

describe("/stats", () => {
  test("every field of a real answer is described", () => {
    const fields = fieldsOf(
      (document.components["schemas"] as Readonly<Record<string, JsonSchema>>)["Stats"] ?? {},
    );
    const described = new Set(fields.filter(({ help }) => help !== "").map(({ path }) => path));
    const { text } = walked.find(({ id }) => id === "status.stats") ?? { text: "{}" };
    const { source: _, ...stats } = JSON.parse(text) as Record<string, unknown>;
    expect(pathsOf(stats).filter((path) => !described.has(path))).toEqual([]);
  });

  test("what only one kind of sink or source counts is described with its name, of all kinds", () => {
    const fields = fieldsOf(
      (document.components["schemas"] as Readonly<Record<string, JsonSchema>>)["Stats"] ?? {},
    );
    const helps = new Map(fields.map(({ path, help }) => [path, help]));
    for (const [within, kinds] of [
      ["sinks.{name}", SINKS],
      ["sources[]", SOURCES],
    ] as const)
      for (const { name, counts = {} } of kinds as readonly Kind[])
        for (const field of Object.keys(counts))
          expect(helps.get(`${within}.${field}`)).toContain(`${name}: `);
  });
});

/** Records have free names. */
const records = /^(sinks|ingest\.rejected|ingest\.since_start\.rejected)\.[^.]+/;

function pathsOf(value: unknown, within = ""): string[] {
  if (Array.isArray(value)) return value.flatMap((each) => pathsOf(each, `${within}[]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, each]) => {
    const path = `${within === "" ? "" : `${within}.`}${name}`.replace(records, "$1.{name}");
    return [...(path.endsWith("{name}") ? [] : [path]), ...pathsOf(each, path)];
  });
}
