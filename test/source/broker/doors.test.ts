/** Which connections the embedded broker accepts, and what may be held for them before it is on disk. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { connect as dial, type Socket } from "node:net";
import { cleanUp, device, embeddedBroker, endLater, idsOf, ping, returnCodeOf } from "../../kit/embedded.ts";
import { recordingLog, until } from "../../kit/source.ts";
import { simulatedClock } from "../../kit/clock.ts";
import { makeCertificates } from "../../kit/tls.ts";
import { watchPackets } from "../../../src/source/broker/packet-watch.ts";
import { createBrokerDoors } from "../../../src/source/broker/doors.ts";
import mqttPacket from "mqtt-packet";
import * as fc from "fast-check";
import { connectPacket, publishPacket, wireClient } from "../../kit/wire.ts";

afterEach(cleanUp);
const certificates = makeCertificates();
afterAll(() => certificates.remove());

async function silent(port: number): Promise<Socket & { isClosed: boolean }> {
  const socket = Object.assign(dial({ port, host: "127.0.0.1" }), { isClosed: false });
  socket.on("error", () => {});
  socket.on("close", () => {
    socket.isClosed = true;
  });
  endLater(() => socket.destroy());
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

/** A connection as the kernel hands it over. */
function aSocket(remoteAddress: string) {
  const listeners = new Map<string, ((value?: unknown) => void)[]>();
  const on = (name: string, run: (value?: unknown) => void) =>
    void listeners.set(name, [...(listeners.get(name) ?? []), run]);
  const emit = (name: string, value?: unknown) => {
    for (const run of listeners.get(name) ?? []) run(value);
  };
  const socket = {
    remoteAddress,
    destroyed: false,
    readableLength: 0,
    on,
    once: on,
    destroy() {
      if (socket.destroyed) return;
      socket.destroyed = true;
      emit("close");
    },
  };
  return {
    socket: socket as unknown as Socket,
    isGone: () => socket.destroyed,
    receive: (chunk: Buffer) => emit("data", chunk),
    /** So much has come that nobody has read. */
    leavesUnread(bytes: number) {
      socket.readableLength = bytes;
    },
  };
}

function doors(connectionsMax = 40) {
  const clock = simulatedClock();
  const said: string[] = [];
  const warn = (_: unknown, text: string) => void said.push(text);
  const made = createBrokerDoors({
    connectionsMax,
    part: 1,
    packetBytesMax: () => 2_000_000,
    unread() {},
    comesIn() {},
    clock,
    warn,
  });
  const visit = (address: string) => {
    const visitor = aSocket(address);
    const entered = made.enter(visitor.socket);
    if (entered) made.watch(visitor.socket);
    return { ...visitor, entered };
  };
  return { ...made, clock, said, visit };
}

describe("the doors", () => {
  test("strangers from one address get at most a quarter of all connections; a client that proves itself makes room", () => {
    const it = doors();
    const own = Array.from({ length: 12 }, () => it.visit("10.0.0.1"));
    expect(own.filter(({ entered }) => entered).length).toBe(10);
    expect(it.visit("10.0.0.2").entered).toBe(true);
    it.welcome(own[0]!.socket, true);
    expect(it.visit("10.0.0.1").entered).toBe(true);
    expect(it.visit("10.0.0.1").entered).toBe(false);
    own[1]!.socket.destroy();
    expect(it.visit("10.0.0.1").entered).toBe(true);
    expect(it.said.some((text) => text.includes("have not proved themselves"))).toBe(true);
  });

  test("one IPv6 host counts as one address, whatever addresses it makes up", () => {
    const it = doors();
    const entered = Array.from({ length: 20 }, (_, i) => it.visit(`2001:db8:1:1::${i + 1}`).entered);
    expect(entered.filter(Boolean).length).toBe(10);
    expect(it.visit("2001:db8:1:2::1").entered).toBe(true);
  });

  test("a client that does not send CONNECT, or the rest of a packet, is disconnected; one that is otherwise silent stays", () => {
    const it = doors();
    const [mute, slow, idle] = [it.visit("10.0.0.1"), it.visit("10.0.0.2"), it.visit("10.0.0.3")];
    for (const { socket } of [slow, idle]) it.welcome(socket, true);
    it.clock.advance(9_000);
    expect(mute.isGone()).toBe(false);
    it.clock.advance(3_000);
    expect(mute.isGone()).toBe(true);
    slow.receive(Buffer.from([0x30, 0x50, 1, 2, 3]));
    it.clock.advance(20_000);
    slow.receive(Buffer.from([4]));
    expect(slow.isGone()).toBe(false);
    it.clock.advance(12_000);
    expect([slow.isGone(), idle.isGone()]).toEqual([true, false]);
  });

  test("a packet may take long over a slow line, but not if next to nothing of it comes", () => {
    const it = doors();
    const [slow, drip] = [it.visit("10.0.0.1"), it.visit("10.0.0.2")];
    for (const { socket, receive } of [slow, drip]) {
      it.welcome(socket, true);
      receive(Buffer.from([0x32, 0x80, 0x80, 0x04]));
    }
    for (let i = 0; i < 200; i += 1) {
      it.clock.advance(1_000);
      slow.receive(Buffer.alloc(200));
      if (!drip.isGone()) drip.receive(Buffer.alloc(20));
    }
    expect([slow.isGone(), drip.isGone()]).toEqual([false, true]);
    it.clock.advance(62_000);
    expect(slow.isGone()).toBe(true);
  });

  test("a device with a keep-alive time is not silent while a packet of it comes, however long that takes", async () => {
    const { port } = await embeddedBroker({}, {}, true);
    const client = await wireClient(port);
    endLater(() => client.socket.destroy());
    client.send({ ...connectPacket("slow"), cmd: "connect", keepalive: 1 } as Parameters<
      typeof client.send
    >[0]);
    await until("CONNACK", () => returnCodeOf(client) === 0);
    const packet = mqttPacket.generate(publishPacket(7, "x".repeat(4_000)));
    for (let at = 0; at < packet.length && !client.closed(); at += 500) {
      client.socket.write(packet.subarray(at, at + 500));
      await Bun.sleep(400);
    }
    await until("PUBACK or the end", () => idsOf(client, "puback").length === 1 || client.closed());
    expect(idsOf(client, "puback")).toEqual([7]);
  });

  test("a device that sends without a pause, so that always some packet is incomplete, stays", () => {
    const it = doors();
    const busy = it.visit("10.0.0.1");
    it.welcome(busy.socket, true);
    busy.receive(Buffer.from([0x30]));
    for (let i = 0; i < 10; i += 1) {
      it.clock.advance(10_000);
      busy.receive(Buffer.from([2, 1, 2, 0x30]));
    }
    expect(busy.isGone()).toBe(false);
    it.clock.advance(32_000);
    expect(busy.isGone()).toBe(true);
  });

  test("a device whose packet is not read on, as while the intake is held, has its time for the rest afterwards", () => {
    const it = doors();
    const busy = it.visit("10.0.0.1");
    it.welcome(busy.socket, true);
    busy.receive(Buffer.from([0x30]));
    busy.leavesUnread(10);
    it.clock.advance(100_000);
    busy.leavesUnread(0);
    it.clock.advance(20_000);
    expect(busy.isGone()).toBe(false);
    it.clock.advance(12_000);
    expect(busy.isGone()).toBe(true);
  });

  test("before CONNACK packets are small, afterwards as large as the settings say", () => {
    const it = doors();
    const large = Buffer.from([0x30, 0x80, 0x80, 0x04, 1]);
    const [stranger, known] = [it.visit("10.0.0.1"), it.visit("10.0.0.2")];
    it.welcome(known.socket, true);
    for (const { receive } of [stranger, known]) receive(large);
    expect([stranger.isGone(), known.isGone()]).toEqual([true, false]);
  });

  test("incomplete packets are held up to a bound: the client that holds most is disconnected, and nobody else", () => {
    const it = doors(1_000);
    const megabyte = Buffer.concat([Buffer.from([0x30, 0xff, 0xff, 0x50]), Buffer.alloc(1_000_000)]);
    const honest = it.visit("10.0.0.9");
    it.welcome(honest.socket, true);
    honest.receive(Buffer.from([0x30, 0x50, 1]));
    const many = Array.from({ length: 200 }, (_, i) => {
      const one = it.visit(`10.0.1.${i}`);
      it.welcome(one.socket, true);
      one.receive(megabyte);
      return one;
    });
    expect(honest.isGone()).toBe(false);
    expect(many.filter(({ isGone }) => !isGone()).length).toBeLessThan(68);
  });

  test("a TLS port counts clients that only connect, and disconnects them", async () => {
    const { log, lines } = recordingLog();
    const env = {
      BROKER_TLS_LISTEN: "127.0.0.1:0",
      BROKER_TLS_CERT: certificates.serverCert,
      BROKER_TLS_KEY: certificates.serverKey,
      BROKER_MAX_CONNECTIONS: "4",
    };
    const { source } = await embeddedBroker(env, { log });
    const port = source.tlsAddress()?.port ?? 0;
    const sockets: Awaited<ReturnType<typeof silent>>[] = [];
    for (let i = 0; i < 6; i += 1) sockets.push(await silent(port));
    await until(
      "those beyond the bound are gone",
      () => sockets.filter(({ isClosed }) => isClosed).length === 2,
    );
    expect(source.status().detail).toContain("; 4 connections");
    expect(source.status()).toMatchObject({ refused_connects: 2 });
    await until("so are the others", () => sockets.every(({ isClosed }) => isClosed));
    expect(source.status().detail).toContain("; 0 connections");
    expect(source.status()).toMatchObject({ refused_connects: 6 });
    expect(lines.map(({ msg }) => msg).filter((text) => text.includes("handshake"))).toEqual([
      "a client was disconnected: no TLS handshake in time",
    ]);
  });

  test("the log says which device got no TLS, or speaks something else, and why", async () => {
    const { log, lines } = recordingLog();
    const { source, port } = await embeddedBroker(
      {
        BROKER_TLS_LISTEN: "127.0.0.1:0",
        BROKER_TLS_CERT: certificates.serverCert,
        BROKER_TLS_KEY: certificates.serverKey,
      },
      { log },
    );
    const at = `127.0.0.1:${source.tlsAddress()?.port}`;
    const dialled = async (...args: string[]) => {
      const how = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
      await Bun.spawn(["openssl", "s_client", "-connect", at, ...args], how).exited;
    };
    const said = async (why: string) => {
      await until(why, () => lines.some(({ msg }) => msg.includes(why)));
      expect(lines.find(({ msg }) => msg.includes(why))).toMatchObject({ remote: "127.0.0.1" });
    };
    await dialled("-tls1_1", "-cipher", "ALL:@SECLEVEL=0");
    await said("TLS handshake failed: it speaks TLS 1.1 or older");
    await dialled("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256");
    await said("TLS handshake failed: it offers no cipher");
    await dialled("-CAfile", certificates.otherCa, "-verify_return_error");
    await said("TLS handshake failed: it does not accept the certificate of BROKER_TLS_CERT");
    (await silent(source.tlsAddress()?.port ?? 0)).write("GET / HTTP/1.1\r\n\r\n");
    await said("TLS handshake failed: what it sends is no TLS");
    expect(source.status()).toMatchObject({ refused_connects: 4 });
    (await silent(port)).write("GET /mqtt HTTP/1.1\r\n\r\n");
    await said("a client was disconnected: what it sends is no MQTT, but TLS");
  });

  test("a device that was refused for a neighbour's sake gets in when there is room", async () => {
    const { log } = recordingLog();
    const { port } = await embeddedBroker({ BROKER_MAX_CONNECTIONS: "1" }, { log });
    const mute = await silent(port);
    const refused = await device(port, "d");
    expect(refused.closed()).toBe(true);
    mute.destroy();
    await until("it is gone", () => mute.isClosed);
    const client = await device(port, "d");
    expect(returnCodeOf(client)).toBe(0);
    await ping(client);
  });
});

/** Cuts bytes into chunks at the given places, in whatever order these are. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b);
  return [...sorted, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : sorted[i - 1], end));
}

const sizes = fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 20 });
const places = fc.array(fc.nat(), { maxLength: 30 });
const published = (payloads: readonly number[]) =>
  payloads.map((size, i) => mqttPacket.generate(publishPacket(i + 1, "x".repeat(size))));

describe("the bytes of a connection", () => {
  test("packets within the bound pass and leave nothing unfinished, however the bytes are cut", () => {
    fc.assert(
      fc.property(sizes, places, (payloads, cuts) => {
        const packets = [mqttPacket.generate(connectPacket("c")), ...published(payloads)];
        const watch = watchPackets({ bytesMax: () => 3100, othersMax: 1 });
        for (const chunk of cut(Buffer.concat(packets), cuts)) expect(watch.see(chunk)).toBeUndefined();
        expect(watch.unfinishedBytes()).toBe(0);
      }),
    );
  });

  test("every byte of an incomplete packet is counted, however the bytes are cut", () => {
    fc.assert(
      fc.property(sizes, fc.nat(), places, (payloads, end, cuts) => {
        const last = mqttPacket.generate(publishPacket(9, "y".repeat(2500)));
        const part = last.subarray(0, end % last.length);
        const watch = watchPackets({ bytesMax: () => 3100, othersMax: 1 });
        for (const chunk of cut(Buffer.concat([...published(payloads), part]), cuts)) watch.see(chunk);
        expect(watch.unfinishedBytes()).toBe(part.length);
      }),
    );
  });

  test("the first packet beyond the bound is reported from its header alone, however the bytes are cut", () => {
    fc.assert(
      fc.property(sizes, places, (payloads, cuts) => {
        const header = mqttPacket.generate(publishPacket(9, "y".repeat(200_000))).subarray(0, 4);
        const watch = watchPackets({ bytesMax: () => 3100, othersMax: 1 });
        const found = cut(Buffer.concat([...published(payloads), header]), cuts).map((chunk) =>
          watch.see(chunk),
        );
        expect(found.some((why) => why?.includes("too large"))).toBe(true);
      }),
    );
  });
});
