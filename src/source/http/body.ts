/**
 * The body of a request, within bounds however it was packed.
 *
 * What is kept is counted before it is kept, and who sends slowly keeps nobody out. What a packed body unpacks to is known only
 * afterwards, so bodies are unpacked one at a time: however many come at once, the memory for one is all that is not counted. (Rejected
 * alternative: to reserve the most for each that comes; eight senders would then keep out all others.)
 */
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { constants, gunzip, zstdDecompress } from "node:zlib";
import { createTurns } from "../../core/turns.ts";
import { Refused } from "./answers.ts";

/** Bytes that all requests hold together. If there are too many, whoever holds most of a body that has not come whole gives way. */
export interface Room {
  /** What one request holds of it. */
  share(): Share;
}

export interface Share {
  /** Its body begins to come. Until `hasCome`, `giveWay` may be called for somebody who holds less, and must call `giveBack`. */
  comes(giveWay: () => void): void;
  hasCome(): void;
  /** false: there is no room for so many more. */
  take(bytes: number): boolean;
  giveBack(): void;
}

interface Coming {
  bytes: number;
  readonly giveWay: () => void;
}

export function createRoom(bytesMax: number): Room {
  let taken = 0;
  const coming = new Set<Coming>();

  /** @returns whether somebody held more, which then is more than is wanted, and gave way */
  function makeRoom(wanted: number): boolean {
    let largest: Coming | undefined;
    for (const each of coming) if (each.bytes > (largest?.bytes ?? wanted)) largest = each;
    largest?.giveWay();
    return largest !== undefined;
  }

  return {
    share() {
      let own = 0;
      let part: Coming | undefined;
      const hasCome = () => {
        if (part !== undefined) coming.delete(part);
        part = undefined;
      };
      return {
        comes(giveWay) {
          part = { bytes: own, giveWay };
          coming.add(part);
        },
        hasCome,
        take(bytes) {
          if (taken + bytes > bytesMax && !makeRoom(own + bytes)) return false;
          taken += bytes;
          own += bytes;
          if (part !== undefined) part.bytes = own;
          return true;
        },
        giveBack() {
          hasCome();
          taken -= own;
          own = 0;
        },
      };
    },
  };
}

type Unpack = (bytes: Buffer, bytesMax: number) => Promise<Buffer>;

/** RFC 8878 asks decoders for this much and no more; zlib would take 128 MiB. */
const windowLogMax = 23;
const zstdParams = { [constants.ZSTD_d_windowLogMax]: windowLogMax };
/** While a body is unpacked: its window, its parts before they are joined, and a copy of what is unpacked. */
export const unpackingBytes = (bytesMax: number): number => 2 ** windowLogMax + 3 * bytesMax;

/** With `info`. */
interface Unzipped {
  readonly buffer: Buffer;
  /** What it was given and has read. */
  readonly engine: { readonly bytesWritten: number };
}

const unpackGzip = promisify<Buffer, object, unknown>(gunzip);
const unpackZstd = promisify<Buffer, object, Buffer>(zstdDecompress);

/** From a zero byte behind a member on zlib reads no further, without a word: what it leaves must be padding. */
const gunzipped: Unpack = async (bytes, maxOutputLength) => {
  const { buffer, engine } = (await unpackGzip(bytes, { maxOutputLength, info: true })) as Unzipped;
  const rest = bytes.subarray(engine.bytesWritten);
  if (!rest.equals(Buffer.alloc(rest.length))) throw new Error("something stands behind its padding");
  return buffer;
};

/**
 * Bytes that no text has, and a frame of them (RFC 8878, 3.1.1) which none of those bytes but one shows. Of a body that is cut zstd gives
 * what there is, and what is no frame it passes over, without a word: this frame behind it comes out only if all before it did.
 */
const lastBytes = Buffer.alloc(16, 0xff);
const lastFrame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 16, 0x83, 0, 0, 0xff]);

const unzstd: Unpack = async (bytes, bytesMax) => {
  const bounds = { maxOutputLength: bytesMax + lastBytes.length, params: zstdParams };
  const body = await unpackZstd(Buffer.concat([bytes, lastFrame]), bounds);
  const end = body.length - lastBytes.length;
  if (!lastBytes.equals(body.subarray(Math.max(0, end)))) throw new Error("it does not end as a frame");
  return body.subarray(0, end);
};

const unpackers: Readonly<Record<string, Unpack | "as it is">> = {
  gzip: gunzipped,
  // RFC 9110, 8.4.1.3: the same.
  "x-gzip": gunzipped,
  zstd: unzstd,
  identity: "as it is",
};

/**
 * `ask`: says to a sender that waits for it that its body is wanted.
 *
 * @throws Refused: too large, packed in a way we do not know, cut short, no room
 */
export type ReadBody = (request: IncomingMessage, share: Share, ask?: () => void) => Promise<Buffer>;

export function createBodyReader(bytesMax: number): ReadBody {
  const inTurn = createTurns();
  return async (request, share, ask) => {
    // RFC 9110, 8.4.1: its names are not case-sensitive.
    const packing = (request.headers["content-encoding"] ?? "identity").toLowerCase();
    const unpack = Object.hasOwn(unpackers, packing) ? unpackers[packing] : undefined;
    if (unpack === undefined) throw new Refused(415, "Content-Encoding must be gzip, zstd or absent");
    if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw tooLarge(bytesMax);
    ask?.();
    const bytes = await received(request, bytesMax, share);
    if (unpack === "as it is") return bytes;
    return inTurn(async () => {
      const body = await unpack(bytes, bytesMax).catch((error: unknown) => {
        throw unpackingError(error, bytesMax);
      });
      if (!share.take(Math.max(0, body.length - bytes.length))) throw noRoom();
      return body;
    });
  };
}

/**
 * A body may come in small pieces (a device that writes one character at a time), but not in millions of them, each of which is an
 * event: eight such bodies took 1.2 GB and held the thread for half a minute.
 */
const crumbsMax = 16_384;
const crumbBytes = 512;
/** A smaller piece takes as much. */
const pieceBytes = 128;

/** As it was sent. By events, since the request's iterator costs a third of what node:http does for a request. */
function received(request: IncomingMessage, bytesMax: number, share: Share): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let length = 0;
    let isRefused = false;
    const refuse = (why: Refused) => {
      isRefused = true;
      chunks = [];
      share.giveBack();
      reject(why);
    };
    share.comes(() => refuse(noRoom()));
    request.on("data", (chunk: Buffer) => {
      if (isRefused) return;
      length += chunk.length;
      chunks.push(chunk);
      const isInCrumbs = chunks.length - length / crumbBytes > crumbsMax;
      if (!isInCrumbs && length <= bytesMax && share.take(Math.max(chunk.length, pieceBytes))) return;
      refuse(length > bytesMax ? tooLarge(bytesMax) : noRoom());
      // The rest of what has been read of it would come all the same.
      if (isInCrumbs) request.socket.destroy();
    });
    request.on("end", () => {
      if (isRefused) return;
      share.hasCome();
      const [only] = chunks;
      resolve(only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks, length));
    });
    request.on("error", reject);
    request.on("close", () => reject(new Error("the sender left before the end of the body")));
  });
}

function unpackingError(error: unknown, bytesMax: number): Refused {
  const code = String(Object(error)["code"]);
  if (code === "ERR_BUFFER_TOO_LARGE") return tooLarge(bytesMax);
  if (code.endsWith("windowTooLarge"))
    return new Refused(413, `the body was packed with a window of more than ${2 ** windowLogMax} bytes`);
  return new Refused(400, "the body cannot be unpacked: it is not what Content-Encoding says");
}

const tooLarge = (bytesMax: number) =>
  new Refused(413, `the body has more than ${bytesMax} bytes (INGEST_MAX_BODY_BYTES)`);
const noRoom = () => new Refused(429, "too much is on its way at once; try again in a second", 1);
