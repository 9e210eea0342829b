/** An answer that comes before the end of its request's body reaches a sender that sends all before it reads. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { endsAfterEach } from "../../kit/ends.ts";
import { startIngest } from "../../kit/ingest-source.ts";
import { until } from "../../kit/source.ts";

const ends = endsAfterEach();
const MiB = 1024 * 1024;
const bodyMax = 8 * MiB;

async function ingest() {
  const { clock, intake, port } = await startIngest(ends, bodyMax);
  return { clock, intake, open: () => sender(port) };
}

/** It reads nothing before all of a text is sent. */
function sender(port: number) {
  const state = { isSent: false, answers: "", isClosed: false };
  const socket = connect(port, "127.0.0.1").pause();
  socket.on("error", () => {}).on("close", () => (state.isClosed = true));
  ends.push(async () => void socket.destroy());
  const read = (error?: Error | null) => {
    state.isSent = !error;
    socket.on("data", (chunk) => (state.answers += chunk.toString())).resume();
  };
  return { state, send: (text: string) => void socket.write(text, read) };
}

const head = (length: number, more = "", target = "topic/a/b") =>
  `POST /ingest/v1/${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n${more}\r\n`;
const statuses = (text: string) => [...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => Number(status));

test.each([
  [413, "the body is too large", bodyMax + MiB, null, "topic/a/b"],
  [503, "the intake is held", bodyMax, "the disk is full", "topic/a/b"],
  [404, "nothing is there", bodyMax, null, "nowhere"],
])(
  "%d, since %s: the answer is read after the whole body, and nothing behind it is served",
  async (status, _, length, held, target) => {
    const { intake, open } = await ingest();
    intake.held = held;
    const { state, send } = open();
    send(head(length, "", target) + " ".repeat(length) + `${head(2)}{}`.repeat(3));
    await until("the connection ends", () => state.isClosed);
    expect(state.isSent).toBe(true);
    expect(statuses(state.answers)).toEqual([status]);
    expect(intake.messages).toEqual([]);
  },
);

test("an answer says its length, for senders that know no chunks", async () => {
  const { open } = await ingest();
  const { state, send } = open();
  send("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
  await until("an answer", () => state.answers.includes("}\n"));
  const [top = "", body = ""] = state.answers.split("\r\n\r\n");
  expect(top).toContain(`content-length: ${body.length}`);
  expect(top.toLowerCase()).not.toContain("transfer-encoding");
});

test("the rest of a body is waited for within a time", async () => {
  const { clock, open } = await ingest();
  const { state, send } = open();
  send(head(bodyMax + 1));
  await until("the answer", () => state.answers.endsWith("\n"));
  await clock.pass(29_000);
  send("a little");
  expect(state.isClosed).toBe(false);
  await clock.pass(1_000);
  await until("the connection ends", () => state.isClosed);
});

test.each([
  ["bytes", `${MiB.toString(16)}\r\n${" ".repeat(MiB)}\r\n`.repeat(64)],
  ["pieces", "1\r\n \r\n".repeat(1_000_000)],
])("no more than so many %s of it are read", async (_, rest) => {
  const { intake, open } = await ingest();
  intake.held = "the disk is full";
  const { state, send } = open();
  send(head(1).replace("Content-Length: 1", "Transfer-Encoding: chunked") + rest);
  await until("the connection ends", () => state.isClosed);
  expect(state.isSent).toBe(false);
});

test("a sender that asks first is asked for its body only if that is wanted", async () => {
  const { intake, open } = await ingest();
  const answered = async (length: number, more = "") => {
    const { state, send } = open();
    send(head(length, `Expect: 100-continue\r\n${more}`));
    await until("an answer", () => statuses(state.answers).length > 0);
    return { state, send, statuses: statuses(state.answers) };
  };
  const wanted = await answered(2);
  expect(wanted.statuses).toEqual([100]);
  wanted.send("{}");
  await until("the message", () => intake.messages.length === 1);
  expect((await answered(bodyMax + 1)).statuses).toEqual([413]);
  expect((await answered(2, "Content-Encoding: br\r\n")).statuses).toEqual([415]);
  intake.held = "the disk is full";
  expect((await answered(2)).statuses).toEqual([503]);
});
