/**
 * The OpenAPI 3.1 document, made from the rows that make the routes. Its schemas are zod's own JSON Schema (draft
 * 2020-12, as 3.1 requires).
 */
import { STATUS_CODES } from "node:http";
import { z } from "zod";
import type { Endpoint } from "./endpoint.ts";
import answers from "./examples.json" with { type: "json" };
import { curlLine, exampleRequests } from "./requests.ts";
import { problemSchema } from "./schemas.ts";

export type JsonSchema = Readonly<Record<string, unknown>>;

interface MediaTypes {
  readonly [media: string]: { readonly schema: JsonSchema; readonly example?: unknown };
}
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters: readonly {
    readonly name: string;
    readonly in: "path" | "query";
    readonly required: boolean;
    readonly schema: JsonSchema;
    readonly description?: string;
  }[];
  readonly "x-codeSamples": readonly { readonly lang: "Shell"; readonly source: string }[];
  readonly requestBody?: { readonly required: boolean; readonly content: MediaTypes };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content: MediaTypes }>
  >;
}
export interface OpenApi {
  readonly openapi: "3.1.0";
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<string, unknown>>;
}

/** The problems that any endpoint under /admin may answer with, and those of every endpoint. */
const adminProblems = [400, 401, 403, 429];
const anyProblems = [403, 500];

export function openApi(endpoints: readonly Endpoint[], version: string): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  const schemas = namedSchemas();
  for (const endpoint of endpoints) {
    (paths[endpoint.path] ??= {})[endpoint.method.toLowerCase()] = operation(endpoint, schemas.refer);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Sluice",
      version,
      description:
        "Health, stats and administration of one gateway. If ADMIN_TOKEN is set, /admin requires it as `Authorization: Bearer`; otherwise only requests from this host are answered. /devices takes READ_TOKEN as well.",
    },
    paths,
    components: {
      securitySchemes: {
        adminToken: { type: "http", scheme: "bearer" },
        readToken: { type: "http", scheme: "bearer" },
      },
      schemas: { Problem: jsonSchema(problemSchema, "output"), ...schemas.all },
    },
  };
}

function operation(endpoint: Endpoint, refer: Refer): Operation {
  const { id, path, summary, body, stream, answer, access } = endpoint;
  const isAdmin = path.startsWith("/admin/");
  const given =
    body === undefined
      ? (stream ?? []).map(textOf)
      : [
          [
            "application/json",
            { schema: refer(body, "input", `${id}.request`), ...exampleOf(exampleRequests[id]?.body) },
          ] as const,
        ];
  const answered =
    answer.schema === undefined
      ? (answer.media ?? []).map(textOf)
      : [
          [
            "application/json",
            { schema: refer(answer.schema, "output", id), ...exampleOf(examples[id]) },
          ] as const,
        ];
  const problems = new Set([...(isAdmin ? adminProblems : []), ...anyProblems, ...(endpoint.problems ?? [])]);
  if (given.length > 0) problems.add(413).add(415);
  if (body !== undefined) problems.add(400).add(422);
  return {
    operationId: id,
    summary,
    tags: [id.split(".")[0] ?? id],
    "x-codeSamples": [{ lang: "Shell", source: curlLine(endpoint) }],
    ...(isAdmin && { security: [{ adminToken: [] }, {}] }),
    ...(access === "read" && { security: [{ readToken: [] }, { adminToken: [] }, {}] }),
    parameters: [
      ...pathParameters(path),
      ...queryParameters(endpoint.query),
      ...(answer.schema ? [pretty] : []),
    ],
    ...(given.length > 0 && { requestBody: { required: true, content: Object.fromEntries(given) } }),
    responses: {
      [String(answer.status ?? 200)]: { description: answer.help, content: Object.fromEntries(answered) },
      ...Object.fromEntries(
        [...problems].sort((a, b) => a - b).map((status) => [String(status), problemOf(status)]),
      ),
    },
  };
}

function pathParameters(path: string): Operation["parameters"] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

const pretty: Operation["parameters"][number] = {
  name: "pretty",
  in: "query",
  required: false,
  schema: { type: "string" },
  description: "With any value: the answer is indented for people.",
};

function queryParameters(query: z.ZodType | undefined): Operation["parameters"] {
  if (query === undefined) return [];
  const { properties = {} } = jsonSchema(query, "input") as { properties?: Record<string, JsonSchema> };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: false,
    schema,
    ...(typeof description === "string" && { description }),
  }));
}

function problemOf(status: number): { description: string; content: MediaTypes } {
  const schema = { $ref: "#/components/schemas/Problem" };
  return {
    description: STATUS_CODES[status] ?? "Error",
    content: { "application/problem+json": { schema } },
  };
}

type Refer = (schema: z.ZodType, io: "input" | "output", id: string) => JsonSchema;

/** Each schema once, by its title or else by the endpoint that has it first: devices.list → DevicesList. */
function namedSchemas(): { readonly refer: Refer; readonly all: Readonly<Record<string, JsonSchema>> } {
  const all: Record<string, JsonSchema> = {};
  const names = new Map<z.ZodType, string>();
  const refer: Refer = (schema, io, id) => {
    const name =
      names.get(schema) ??
      schema.meta()?.title ??
      id.replace(/(?:^|[._])(\w)/g, (_, letter: string) => letter.toUpperCase());
    names.set(schema, name);
    all[name] ??= jsonSchema(schema, io);
    return { $ref: `#/components/schemas/${name}` };
  };
  return { refer, all };
}

const examples: Readonly<Record<string, unknown>> = answers;

function exampleOf(example: unknown): { example?: unknown } {
  return example === undefined ? {} : { example };
}

function textOf(media: string): readonly [string, { schema: JsonSchema }] {
  return [media, { schema: { type: "string" } }];
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}
