/**
 * /openapi.json and /docs: the same document for programs and for people.
 *
 * The page is made here from the document: no script and nothing from elsewhere, so that it works on a site without
 * internet access and under a policy that permits it one style sheet. Rejected alternative: Scalar and the like,
 * because they are megabytes of script for the same content.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { exampleOrigin } from "./requests.ts";
import { openApi, type JsonSchema, type OpenApi, type Operation } from "./openapi.ts";

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h2{margin:2rem 0 .5rem;text-transform:capitalize}details{border:1px solid #d0d7de;border-radius:6px;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f6f8fa;padding:.6rem;overflow:auto;border-radius:6px}
.method{display:inline-block;min-width:4.5em;font-weight:700}table{border-collapse:collapse}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}details{border-color:#30363d}pre{background:#161b22}}`;

/** The policy of /docs; every other answer has a stricter one. */
export const docsPolicy = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'`;

/** @param others all endpoints except these two */
export function docEndpoints(others: readonly Endpoint[], version: () => string): readonly Endpoint[] {
  const endpoints: readonly Endpoint[] = [
    endpoint({
      method: "GET",
      path: "/openapi.json",
      id: "docs.openapi",
      summary: "This description for programs, as OpenAPI 3.1",
      answer: { help: "The document.", schema: z.looseObject({ openapi: z.literal("3.1.0") }) },
      handle: () => ({ ...made() }),
    }),
    endpoint({
      method: "GET",
      path: "/docs",
      id: "docs.page",
      summary: "This description for people",
      answer: { help: "A page that loads nothing from elsewhere.", media: ["text/html"] },
      handle({ request }) {
        parts ??= page(made()).split(exampleOrigin);
        const html = parts.join(escape(new URL(request.url).origin));
        return new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } });
      },
    }),
  ];
  let document: OpenApi | undefined;
  /** Of the page, between which stands the origin at which it was asked for: anybody may ask, and to make it takes the thread. */
  let parts: readonly string[] | undefined;
  const made = () => (document ??= openApi([...others, ...endpoints], version()));
  return endpoints;
}

function page({ info, paths, components }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const tags = [...new Set(operations.map(({ operation }) => operation.tags[0] ?? ""))];
  const sections = tags.map((tag) => {
    const within = operations.filter(({ operation }) => operation.tags[0] === tag);
    return `<h2>${escape(tag)}</h2>${within.map((it) => section(it.method, it.path, it.operation)).join("")}`;
  });
  const schemas = Object.entries(components["schemas"] as Readonly<Record<string, JsonSchema>>);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(info.title)} API</title><style>${style}</style>
<h1>${escape(info.title)} ${escape(info.version)}</h1><p>${escape(info.description)}</p>
<p>For programs: <a href="openapi.json">/openapi.json</a></p>${sections.join("\n")}
<h2>Schemas</h2>${schemas.map(([name, schema]) => schemaSection(name, schema)).join("")}</html>\n`;
}

function section(method: string, path: string, operation: Operation): string {
  const { parameters, requestBody, responses } = operation;
  const rows = parameters.map(
    ({ name, in: where, description = "", schema }) =>
      `<tr><td><code>${escape(name)}</code><td>${where}<td>${escape(description)}${defaultOf(schema)}`,
  );
  const table = rows.length === 0 ? "" : `<table><tr><th>Parameter<th>In<th>${rows.join("")}</table>`;
  const body = requestBody === undefined ? "" : `<h4>Body</h4>${contents(requestBody.content)}`;
  const answers = Object.entries(responses).map(([status, { description, content }]) => {
    const isProblem = "application/problem+json" in content;
    return `<h4>${status} ${escape(description)}</h4>${isProblem ? "" : contents(content)}`;
  });
  return `<details><summary><code><span class="method">${method.toUpperCase()}</span> ${escape(path)}</code> ${escape(operation.summary)}</summary>
<pre>${escape(operation["x-codeSamples"][0]?.source ?? "")}</pre>${table}${body}${answers.join("")}</details>`;
}

function contents(
  content: Readonly<Record<string, { readonly schema: JsonSchema; readonly example?: unknown }>>,
): string {
  return Object.entries(content)
    .map(([media, { schema, example }]) => {
      const name = referred(schema);
      const link = name === "" ? "" : ` <a href="#${escape(name)}">${escape(name)}</a>`;
      const shown = example === undefined ? "" : `<pre>${escape(textOf(example))}</pre>`;
      return `<p><code>${escape(media)}</code>${link}</p>${shown}`;
    })
    .join("");
}

/** The name of the schema that it refers to; "" if it is one itself. */
export function referred({ $ref }: JsonSchema): string {
  return typeof $ref === "string" ? ($ref.split("/").at(-1) ?? "") : "";
}

function textOf(example: unknown): string {
  return typeof example === "string" ? example : JSON.stringify(example, null, 2);
}

function schemaSection(name: string, schema: JsonSchema): string {
  const rows = fieldsOf(schema).map(
    ({ path, type, help }) => `<tr><td><code>${escape(path)}</code><td>${escape(type)}<td>${escape(help)}`,
  );
  const about = typeof schema["description"] === "string" ? `<p>${escape(schema["description"])}</p>` : "";
  return `<details id="${escape(name)}"><summary><code>${escape(name)}</code></summary>${about}
<table><tr><th>Field<th>Type<th>${rows.join("")}</table></details>`;
}

export interface Field {
  readonly path: string;
  readonly type: string;
  readonly help: string;
}

/** Every field of a JSON Schema, those within others by their path: sinks.{name}.waiting, rows[].id. */
export function fieldsOf(schema: JsonSchema, within = ""): readonly Field[] {
  const { properties = {}, items, additionalProperties: more, anyOf } = schema as Shape;
  const named = Object.entries(properties).flatMap(([name, each]) => {
    const path = within === "" ? name : `${within}.${name}`;
    const help = typeof each["description"] === "string" ? each["description"] : "";
    return [{ path, type: typeOf(each), help }, ...fieldsOf(each, path)];
  });
  const inner = [
    ...(items === undefined ? [] : fieldsOf(items, `${within}[]`)),
    ...(isSchema(more) ? fieldsOf(more, `${within}.{name}`) : []),
    ...(anyOf ?? []).flatMap((each) => fieldsOf(each, within)),
  ];
  return [...named, ...inner];
}

interface Shape {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly additionalProperties?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly type?: string;
}

function isSchema(given: unknown): given is JsonSchema {
  return typeof given === "object" && given !== null;
}

function typeOf(schema: JsonSchema): string {
  const { type, anyOf, enum: values } = schema as Shape;
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(" | ");
  if (anyOf !== undefined) return [...new Set(anyOf.map(typeOf))].join(" | ");
  return type ?? "any";
}

function defaultOf({ default: value }: JsonSchema): string {
  return value === undefined ? "" : ` (default ${escape(JSON.stringify(value))})`;
}

function escape(text: string): string {
  return Bun.escapeHTML(text);
}
