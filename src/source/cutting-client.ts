/** MQTT.js, but its parser gets only what the cutter lets pass: the library would hold a packet of any size whole. */
import type { Duplex, Writable } from "node:stream";
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import { type Cutter, createPacketCutter } from "./large-packets.ts";

interface Cut {
  readonly options: IClientOptions;
  payloadBytesMax(): number;
}

/** As MQTT.js connects, but that its parser gets what the cutter lets pass. */
export function connectCutting(spec: Cut, refuse: (error: Error) => void) {
  const client = connect({ ...spec.options, manualConnect: true });
  const cutter = createPacketCutter(spec.options.protocolVersion === 5 ? 5 : 4, spec.payloadBytesMax);
  const build = client["streamBuilder"] as (owner: MqttClient) => Duplex;
  client["streamBuilder"] = (owner: MqttClient) => {
    const stream = build(owner);
    const pipe = stream.pipe.bind(stream);
    stream.pipe = (parser) => {
      readThrough(parser as unknown as Writable, cutter, refuse);
      return pipe(parser);
    };
    return stream;
  };
  client.connect();
  return { client, cutter };
}

/** What has come and was not handled yet goes: MQTT.js would look for it in stores that it has closed, and throw where nobody catches. */
export function mute(client: MqttClient): void {
  client["_currentPump"] = undefined;
}

function readThrough(parser: Writable, cutter: Cutter, refuse: (error: Error) => void): void {
  const parse = parser._write.bind(parser);
  parser._write = (chunk: Buffer, encoding, done) => {
    let passing: Buffer | undefined;
    const failure = attempt(() => {
      passing = cutter.cut(chunk);
    });
    if (failure !== null) refuse(failure);
    if (passing === undefined || passing.length === 0) done();
    else parse(passing, encoding, done);
  };
}

/** What went wrong; null: nothing. */
export function attempt(work: () => void): Error | null {
  try {
    work();
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
