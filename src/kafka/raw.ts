/** The two requests that carry records, with the records as bytes: batch.ts and read-batch.ts know what is in them. */
import type { Library } from "./kafka-client.ts";
import type { Batch, Fetched, RawFetch } from "./requests.ts";

type Api = Library["API"];
type Encoder = Parameters<Api["PRODUCE"]["request"]>[0];
type Decoder = Parameters<Api["FETCH"]["response"]>[0];

/** The request of the library in this version. */
export function older<A extends { readonly apiVersion: number; readonly fallback?: A }>(
  api: A,
  version: number,
): A {
  let found = api;
  while (found.apiVersion > version && found.fallback !== undefined) found = found.fallback;
  return found;
}

/** In this version only: what the library would fall back to cannot write what is bytes already. */
function exactly<A extends { readonly apiVersion: number; readonly fallback?: A }>(
  api: A,
  version: number,
): Omit<A, "fallback"> {
  const { fallback: _, ...own } = older(api, version);
  return own;
}

/** Produce with batches that are bytes already. All answers are returned, also those with an error, of which the library throws the first. */
export function rawProduce({ PRODUCE }: Api, version: number): Api["PRODUCE"] {
  const api = exactly(PRODUCE, version);
  return {
    ...api,
    request: (encoder, data) => writeProduce(encoder, data as unknown as RawProduce),
    response: async (decoder) => {
      try {
        return await api.response(decoder);
      } catch (error) {
        if (error instanceof Error && "response" in error)
          return error.response as Awaited<ReturnType<typeof api.response>>;
        throw error;
      }
    },
  };
}

export interface RawProduce {
  readonly transactionalId: string;
  readonly timeoutMs: number;
  readonly batches: readonly Batch[];
  /** The request as it was sent: nobody needs it once it is answered. */
  sent?: Buffer;
}

/**
 * Produce 9 to 12, with acknowledgement by all replicas. The batches are copied once, where they belong: the library's encoder, which
 * doubles its memory as it grows, took more than their checksums.
 */
function writeProduce(encoder: Encoder, request: RawProduce): Encoder {
  const { transactionalId, timeoutMs, batches } = request;
  const topics = [...Map.groupBy(batches, ({ topic }) => topic.name)];
  const ends: number[] = [];
  const whole = encoder
    .writeCompactString(transactionalId)
    .writeInt16(-1)
    .writeInt32(timeoutMs)
    .writeCompactArray(topics, (each, [name, of]) =>
      each
        .writeCompactString(name)
        .writeCompactArray(of, (one, { partition, bytes }) => {
          one.writeInt32(partition).writeUVarInt(bytes.length + 1);
          ends.push(one.getBufferLength());
          one.writeTagBuffer();
        })
        .writeTagBuffer(),
    )
    .writeTagBuffer()
    .value();
  const inOrder = topics.flatMap(([, of]) => of);
  const parts = inOrder.flatMap(({ bytes }, i) => [whole.subarray(ends[i - 1] ?? 0, ends[i]), bytes]);
  const sent = Buffer.concat([...parts, whole.subarray(ends.at(-1) ?? 0)]);
  request.sent = sent;
  return { value: () => sent } as unknown as Encoder;
}

/** The last that sends names; the next sends ids. */
const fetchVersion = 12;

export interface Answer {
  /** Over the quota: the broker reads nothing more of this connection for so long. */
  readonly throttleMs: number;
  readonly errorCode: number;
  readonly fetched: readonly Fetched[];
}
const committedOnly = 1;

/** Fetch without a session: each request says all that is wanted. */
export function rawFetch({ FETCH }: Api) {
  const ofVersion = (version: number): Api["FETCH"] => ({
    ...exactly(FETCH, version),
    request: (encoder, data) => writeFetch(encoder, version, data as unknown as RawFetch),
    response: (decoder) => readFetch(decoder, version) as never,
  });
  const byName = ofVersion(fetchVersion);
  return { byName, byId: { ...ofVersion(fetchVersion + 1), fallback: byName } };
}

/** The library's request, and its answer as bytes; a cluster that knows no version 12 is too old for `rawFetch` as well. */
export function bareFetch(api: Api["FETCH"]): Api["FETCH"] {
  const { fallback, ...own } = api;
  const response = (decoder: Decoder) => readFetch(decoder, api.apiVersion) as never;
  if (api.apiVersion === fetchVersion || fallback === undefined) return { ...own, response };
  return { ...own, response, fallback: bareFetch(fallback) };
}

function writeFetch(encoder: Encoder, version: number, { wanted, waitMs, bytesMax }: RawFetch): Encoder {
  const isById = version > fetchVersion;
  const topics = [...Map.groupBy(wanted, ({ topic, topicId }) => (isById ? topicId : topic))];
  return encoder
    .writeInt32(-1)
    .writeInt32(waitMs)
    .writeInt32(1)
    .writeInt32(bytesMax)
    .writeInt8(committedOnly)
    .writeInt32(0)
    .writeInt32(-1)
    .writeCompactArray(topics, (each, [topic, of]) =>
      (isById ? each.writeUUID(topic) : each.writeCompactString(topic))
        .writeCompactArray(of, (one, { partition, offset, epoch }) =>
          one
            .writeInt32(partition)
            .writeInt32(-1)
            .writeInt64(BigInt(offset))
            .writeInt32(epoch)
            .writeInt64(-1n)
            .writeInt32(bytesMax)
            .writeTagBuffer(),
        )
        .writeTagBuffer(),
    )
    .writeCompactArray([], (each) => each)
    .writeCompactString("")
    .writeTagBuffer();
}

/** What stands in front of it concerns the request as a whole: an error there is told of each partition that was asked for. */
function readFetch(decoder: Decoder, version: number): Answer {
  const throttleMs = decoder.readInt32();
  const errorCode = decoder.readInt16();
  decoder.readInt32();
  const fetched = decoder.readCompactArray((each) => {
    const topic = version > fetchVersion ? each.readUUID() : (each.readCompactString() ?? "");
    const partitions = each.readCompactArray((one) => readPartition(one, topic));
    each.readTagBuffer();
    return partitions;
  });
  decoder.readTagBuffer();
  return { throttleMs, errorCode, fetched: fetched.flat() };
}

function readPartition(one: Decoder, topic: string): Fetched {
  const partition = one.readInt32();
  const errorCode = one.readInt16();
  const end = Number(one.readInt64());
  const stableOffset = Number(one.readInt64());
  const logStart = Number(one.readInt64());
  const aborted = one.readCompactArray((each) => {
    const [producerId, firstOffset] = [each.readInt64(), Number(each.readInt64())];
    each.readTagBuffer();
    return { producerId, firstOffset };
  });
  one.readInt32();
  const size = one.readUVarInt() - 1;
  const records = size > 0 ? one.read(size) : Buffer.alloc(0);
  const diverging = one.readTagBuffer()[divergingEpoch];
  const sameUpTo = diverging && {
    epoch: diverging.readInt32BE(0),
    offset: Number(diverging.readBigInt64BE(4)),
  };
  return { topic, partition, errorCode, end, stableOffset, logStart, aborted, records, sameUpTo };
}

const divergingEpoch = 0;
