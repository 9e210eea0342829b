/**
 * What README.md, docs/ and CHANGELOG.md name exists: commands as the table of commands takes them, scripts, settings, reasons,
 * metrics, endpoints, and every file and heading that a link leads to. The pages that are printed from the code are what it prints.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { commands } from "../src/cli/index.ts";
import type { Command } from "../src/cli/command.ts";
import { topicHelp, topics } from "../src/cli/help.ts";
import { parseEnvFile } from "../src/config/env-file.ts";
import { allSettings } from "../src/config/tables.ts";
import { systemClock } from "../src/core/clock.ts";
import { silentLog } from "../src/core/log/log.ts";
import { createApp } from "../src/http/app.ts";
import { metricsOf } from "../src/http/metric-table.ts";
import { nameOf } from "../src/http/metrics-text.ts";
import { reasons } from "../src/judge/reasons.ts";
import manifest from "../package.json";
import { blocks, pages, root, spans, wordsOf } from "./kit/documents.ts";
import { fakeView } from "./kit/view.ts";
import { reasonsPage, settingsPage } from "./readme.ts";

const read = (page: string) => pages.get(page) ?? "";
/** Of the changelog only the words that people type are of today. */
const isDoc = ({ page }: { page: string }) => page !== "CHANGELOG.md";

/** Lines that start a command: of shell blocks in full, of running text perhaps without its arguments. */
const typed = [
  ...blocks
    .filter(({ info }) => info.startsWith("sh"))
    .flatMap(({ page, text }) =>
      text
        .replaceAll("\\\n", " ")
        .split("\n")
        .map((line) => ({ page, line: line.replace(/\s# .*$/, ""), full: true })),
    ),
  ...spans.map(({ page, text }) => ({ page, line: text, full: false })),
];

describe("every `sluice …` that people are told to type", () => {
  const lines = typed.flatMap(({ page, line, full }) =>
    line
      .split(/&&|\|\||;|\$\(/)
      .map((part) => part.trim().replace(/^(?:(?:sudo|until|if|then|do|while|exec) )+/, ""))
      .flatMap((part) => {
        const found =
          /^(?:docker compose exec (?:-T )?sluice |[A-Z_]+=\S+ )*(?:\.\/(?:dist\/)?)?sluice (.+)$/.exec(part);
        return found?.[1] === undefined ? [] : [{ page, line: found[1], full }];
      }),
  );

  test("is found at all", () => {
    expect(lines.length).toBeGreaterThan(60);
    expect(lines.filter(({ full }) => full).length).toBeGreaterThan(10);
  });

  test.each(lines)("$page: sluice $line", ({ line, full }) => {
    expect(mistakeIn(wordsOf(line), full)).toBe("");
  });

  test("is checked so that a wrong one is seen", () => {
    for (const line of [
      "devcies add a b",
      "devices ad a b",
      "devices add a b --sight x",
      "devices add a",
      "devices add a b c",
      "simulate --rate many",
      "spool export --format",
      "help settigns",
      "run --quick",
    ])
      expect(mistakeIn(wordsOf(line), true)).not.toBe("");
  });
});

/** Of HTTP ingest, which is a source with a listener of its own (source/http/requests.ts). */
const ingestPaths = ["tenant/{tenant}/device/{device}/{type}", "batch", "topic/{topic}"].map(
  (path) => `/ingest/v1/${path}`,
);

/** Takes the words as the table of commands does. @param full whether arguments may not be left out */
function mistakeIn([first = "", ...rest]: readonly string[], full: boolean): string {
  if (first === "help") {
    const known = new Set(["man", ...commands.map(({ name }) => name)]);
    const isTopic = (word: string) => topicHelp(topics, word, { asJson: false, width: 80 }) !== undefined;
    return rest.every((word) => word.startsWith("--") || known.has(word) || isTopic(word))
      ? ""
      : "no such topic";
  }
  const entry = commands.find(({ name }) => name === first);
  if (entry === undefined) return "no such command";
  if ("run" in entry) return mistakeOf(entry, rest, full);
  const sub = entry.commands.find(({ name }) => name === rest[0]);
  if (sub === undefined) return rest.length === 0 && !full ? "" : `no such command: ${rest[0]}`;
  return mistakeOf(sub, rest.slice(1), full);
}

function mistakeOf(command: Command, words: readonly string[], full: boolean): string {
  let given = 0;
  for (let i = 0; i < words.length; i++) {
    const [flag = "", inline] = (words[i] ?? "").split("=", 2);
    if (!flag.startsWith("--")) given++;
    else {
      const option = Object.values(command.options).find(({ flags }) => flags.split(" ")[0] === flag);
      if (option === undefined) return `no option ${flag}`;
      const wants = option.flags.includes("<");
      const value = wants ? (inline ?? words[++i]) : true;
      if (value === undefined && full) return `${flag} without a value`;
      if (
        value !== undefined &&
        !/^[A-Z]+$|^\$/.test(String(value)) &&
        !option.schema.safeParse(value).success
      )
        return `${flag} ${value}`;
    }
  }
  const wanted = Object.keys(command.arguments).length;
  return given > wanted || (full && given < wanted) ? `${given} arguments, not ${wanted}` : "";
}

describe("every other name", () => {
  const code = [...spans, ...blocks.filter(({ info }) => /^(?:sh|ini)/.test(info))].filter(isDoc);
  const found = (pattern: RegExp) => [...new Set(code.flatMap(({ text }) => text.match(pattern) ?? []))];

  test.each([
    ...new Set(
      typed.flatMap(({ line }) => line.match(/(?<=bun(?:@[\d.]+)? run )[a-z][a-z:]*(?![a-z:/.])/g) ?? []),
    ),
  ])("bun run %s is a script", (name) => expect(Object.keys(manifest.scripts)).toContain(name));

  /** Of other programs, of the build, and placeholders. */
  const others =
    /^(?:NAME_FILE|HTTPS_PROXY|SOURCE_DATE_EPOCH|BUILDPLATFORM|TARGETARCH|STATE_DIRECTORY|SLUICE_[A-Z_]+|PAYLOAD_LIMIT|LIMIT_NOFILE)$/;
  const known = new Set([
    ...allSettings.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name])),
    ...reasons.map(({ code: name }) => name),
  ]);
  const capitals = found(/(?<![\w$.-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?:_…)?(?![\w*])/g);

  test("settings and reasons are named at all", () => expect(capitals.length).toBeGreaterThan(100));

  test.each(capitals)("%s is a setting or a reason", (name) => {
    const isKnown = known.has(name) || others.test(name);
    expect(
      isKnown || [...known].some((each) => name.endsWith("_…") && each.startsWith(name.slice(0, -1))),
    ).toBeTrue();
  });

  test("metrics exist", () => {
    const names = metricsOf(fakeView().view.measurements()).map(nameOf);
    const named = found(/\bsluice_[a-z_]+(?:_total|_seconds|_bytes)\b/g);
    expect(named.length).toBeGreaterThan(0);
    for (const name of named) expect(names).toContain(name);
  });

  test("endpoints exist", () => {
    const { routes } = createApp({
      view: fakeView().view,
      adminToken: undefined,
      audit: () => {},
      clock: systemClock,
      log: silentLog,
    });
    const paths = [...routes.map(({ path }) => path), ...ingestPaths].map((path) =>
      path.replaceAll(/[:{]\w+…?\}?/g, "*"),
    );
    const named = [...spans]
      .filter(isDoc)
      .filter(({ page }) => page !== "docs/mappings.md")
      .flatMap(({ text }) => /^(?:GET |POST |PUT |PATCH |DELETE )?(\/[a-z][^ ?]*)/.exec(text)?.[1] ?? [])
      .filter((path) => !/^\/(?:etc|usr|var|run|tmp|work|proc|sys|path)(?:\/|$)/.test(path));
    expect(named.length).toBeGreaterThan(20);
    for (const path of new Set(named)) {
      const plain = path.replaceAll(/\{\w+…?\}/g, "*").replace(/\/…?$/, "");
      if (!paths.some((each) => each === plain || each.startsWith(`${plain}/`)))
        throw new Error(`${path} is no endpoint`);
    }
  });
});

describe("every link", () => {
  const links = [...pages].flatMap(([page, text]) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, to = ""]) => ({ page, to })),
  );
  const inside = links.filter(({ to }) => !/^[a-z]+:/.test(to));

  test("stands between pages at all", () => expect(inside.length).toBeGreaterThan(30));

  test.each(inside)("$page → $to leads somewhere", ({ page, to }) => {
    const [path = "", anchor] = to.split("#");
    const file = path === "" ? join(root, page) : join(root, dirname(page), path);
    expect(existsSync(file)).toBeTrue();
    if (anchor !== undefined) expect(anchorsOf(read(relative(root, file)))).toContain(anchor);
  });

  test("reaches every page of docs/ from the README", () => {
    for (const name of pages.keys())
      if (name.startsWith("docs/")) expect(read("README.md")).toContain(`(${name})`);
  });
});

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

describe("a page that is printed from the code is what it prints", () => {
  // The formatter pads the cells of a table.
  const plain = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---").trim();

  test("docs/settings.md (bun run test/readme.ts writes it)", async () => {
    expect(plain(read("docs/settings.md"))).toBe(plain(await settingsPage()));
  });
  test("docs/reasons.md (the same)", () => {
    expect(plain(read("docs/reasons.md"))).toBe(plain(reasonsPage()));
  });
});

test("a block of shell is run by test/binary/documents.test.ts, or says behind the three backticks what it wants", () => {
  const run = ["npx ", "export PATH", "sluice check", "curl "];
  const wants = new Set(
    ["check", "systemd", "docker", "docker secrets", "kafka"].map((what) => `sh ${what}`),
  );
  for (const { page, info, text } of blocks.filter((block) => block.info.startsWith("sh"))) {
    const isKnown = info === "sh" ? run.some((begins) => text.startsWith(begins)) : wants.has(info);
    expect({ page, info, text: isKnown ? "" : text }).toEqual({ page, info, text: "" });
  }
});

test.each(blocks.filter(({ info }) => info === "ini"))(
  "settings of $page are a file of settings",
  ({ text }) => {
    const { values, remarks } = parseEnvFile(text);
    expect({ remarks, isNamed: values.size > 0 }).toEqual({ remarks: [], isNamed: true });
  },
);

test("the table of commands in docs/operating.md has every command", () => {
  const [, table = ""] = read("docs/operating.md").split("## Commands");
  const words = (table.split("## ")[0] ?? "").matchAll(/`(?:sluice )?([a-z-]+)/g);
  const spoken = new Set(words.map(([, word]) => word));
  expect(commands.map(({ name }) => name).filter((name) => !spoken.has(name))).toEqual([]);
});

test("the README stays a front page", () => {
  expect(read("README.md").split("\n").length).toBeLessThan(200);
});

test("the tree in docs/architecture.md is the tree", () => {
  const [, tree = ""] = read("docs/architecture.md").split("## The tree");
  const rooms = [...(tree.split("## ")[0] ?? "").matchAll(/src\/(\w+) /g)].map(([, room]) => room);
  const files = readdirSync(join(root, "src"), { withFileTypes: true });
  expect(rooms.toSorted()).toEqual(
    files
      .filter((file) => file.isDirectory())
      .map(({ name }) => name)
      .toSorted(),
  );
  for (const file of files.filter((one) => one.isFile())) expect(tree).toContain(file.name);
});
