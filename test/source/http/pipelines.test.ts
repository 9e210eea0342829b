/** What one connection may have under way, when requests stand behind an answer that ends it, and when what comes is no HTTP. */
import { expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { connect, type Socket } from "node:net";
import { createPipelines } from "../../../src/source/http/pipelines.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { startIngest } from "../../kit/ingest-source.ts";
import { until } from "../../kit/source.ts";

const ends = endsAfterEach();

test("behind an early answer, too, a connection ends after some requests", async () => {
  const { source, port } = await startIngest(ends, 1_024);
  const one = (target: string) => `POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`;
  // A message that waits for the disk keeps the answer of the next request, which ends the connection, from being sent.
  const sent = one("/ingest/v1/topic/a") + one("/nowhere").repeat(5_000);
  let isClosed = false;
  const socket = connect(port, "127.0.0.1", () => socket.write(sent));
  socket.on("error", () => {}).on("close", () => (isClosed = true));
  await until("the connection ends", () => isClosed);
  // The one that is answered early, as many as may be, and the one that is too many.
  expect(source.status()).toMatchObject({ requests_refused: 18 });
});

test("a connection that is told of twice is answered once", () => {
  let answers = 0;
  const socket = Object.assign(new EventEmitter(), { end: () => void answers++ }) as unknown as Socket;
  const pipelines = createPipelines(() => {});
  for (const code of ["HPE_INVALID_CHUNK_SIZE", "ERR_HTTP_REQUEST_TIMEOUT"])
    pipelines.spoilt(Object.assign(new Error(code), { code }), socket);
  expect(answers).toBe(1);
});
