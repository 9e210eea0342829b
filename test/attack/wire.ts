/** What an attacker sends: raw connections from his own address, and MQTT packets as bytes. */
import { connect as dial, type Socket } from "node:net";
import mqttPacket, { type Packet } from "mqtt-packet";
import { ownTopic as topicOf } from "../../src/core/topic-level.ts";
import { connectPacket } from "../kit/wire.ts";
import type { Target } from "./attack.ts";

/** Resolves once it is connected, or refused and destroyed. Nobody listens to its errors. */
export function open(target: Target, port: number): Promise<Socket> {
  const socket = dial({ port, host: target.host, localAddress: target.from });
  socket.on("error", () => {});
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(socket));
    socket.once("close", () => resolve(socket));
  });
}

export const bytesOf = (...packets: Packet[]): Buffer =>
  Buffer.concat(packets.map((packet) => mqttPacket.generate(packet)));

/** As his own device, after CONNACK. */
export async function openDevice(target: Target, clientId: string): Promise<Socket> {
  const socket = await open(target, target.mqttPort);
  const { tenantId, deviceId, token } = target.own;
  socket.write(bytesOf(connectPacket(clientId, { username: `${tenantId}/${deviceId}`, password: token })));
  await new Promise<void>((resolve) => {
    socket.once("data", () => resolve());
    socket.once("close", () => resolve());
  });
  return socket;
}

/** Resolves once the socket takes more, or is closed. */
export async function write(socket: Socket, bytes: Buffer): Promise<void> {
  if (!socket.write(bytes) && !socket.destroyed)
    await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
}

export function ownTopic({ own }: Target, msgType = "telemetry"): string {
  return topicOf(own.tenantId, own.deviceId, msgType);
}

/** A message of his own device that is accepted. */
export const reading = ({ own }: Target): string =>
  JSON.stringify({ site_id: own.siteId, provision_token: own.token, metrics: { x: 1 } });
