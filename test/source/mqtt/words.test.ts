import { describe, expect, test } from "bun:test";
import { mqttMistakes, mqttSettings, placeOf } from "../../../src/source/mqtt/options.ts";
import {
  BrokerReason,
  Closed,
  describeFailure,
  lossAhead,
  refusesVersion,
  remarksOn,
} from "../../../src/source/mqtt/words.ts";
import { settingsOf } from "../../kit/source.ts";

const coded = (code: string | number) => Object.assign(new Error("low-level words"), { code });
const say = (error: unknown) => describeFailure(error, "mqtt://b:1883");

describe("describeFailure", () => {
  test.each([
    ["nothing listens there, or its host or the network is down", coded("ECONNREFUSED")],
    ["cannot be found: its host name does not resolve", coded("ENOTFOUND")],
    ["MQTT_TLS_CA", coded("DEPTH_ZERO_SELF_SIGNED_CERT")],
    ["a certificate for another host name", coded("ERR_TLS_CERT_ALTNAME_INVALID")],
    ["check MQTT_USERNAME and MQTT_PASSWORD", coded(4)],
    ["check MQTT_USERNAME and MQTT_PASSWORD", coded(134)],
    ["not authorized", coded(5)],
    ["check MQTT_CLIENT_ID", coded(133)],
    ["another client with the same id", new BrokerReason(142)],
    ["a quota is exceeded", coded(151)],
    ["STATUS_TOPIC", coded(154)],
    ["STATUS_TOPIC", coded(155)],
    ["unset MQTT_SHARE_GROUP", new BrokerReason(158)],
    ["ended the connection with reason code 199 (why)", new BrokerReason(199, "why")],
    ["ended the connection with reason code 199", coded(199)],
    ["a firewall drops what is sent", new Error("connack timeout")],
    [
      "does not speak MQTT: another program listens there",
      new Error("Invalid header flag bits, must be 0x0 for puback packet"),
    ],
    ["fell silent", new Error("Keepalive timeout")],
    ["instead of answering CONNECT", new Closed(false)],
    ["see MQTT_TLS_CERT, STATUS_TOPIC, MQTT_VERSION", new Closed(false)],
    ["mqtt://b:1883 closed the connection", new Closed(true)],
    [
      "mqtt://b:1883: something new: its cause",
      new Error("something new", { cause: new Error("its cause") }),
    ],
  ])("%s", (words, error) => {
    expect(say(error)).toContain(words);
    expect(say(error)).toStartWith("mqtt://b:1883");
  });

  test("websockets at the wrong path, or at what is no HTTP, are called so", () => {
    const at = (error: unknown) => describeFailure(error, "ws://b:8083");
    expect(at(new Closed(false))).toContain("another path in MQTT_URL wanted, such as /mqtt");
    expect(say(new Closed(false))).not.toContain("path");
    expect(at(new Error("Parse Error: Expected HTTP/, RTSP/ or ICE/"))).toContain(
      "does not speak websockets",
    );
  });

  test("both forms of refusing MQTT 5 are recognised, and nothing else is", () => {
    expect([1, 132].map((code) => refusesVersion(coded(code)))).toEqual([true, true]);
    expect([coded(4), coded("ECONNREFUSED"), new Closed(false)].map(refusesVersion)).toEqual([
      false,
      false,
      false,
    ]);
  });
});

test("remarks: a session kept for less time than requested, and missing shared subscriptions", () => {
  const settings = settingsOf(mqttSettings, { MQTT_SHARE_GROUP: "site" });
  expect(remarksOn({ sessionExpiryInterval: 60, sharedSubscriptionAvailable: false }, settings, 5)).toEqual([
    "the broker has no shared subscriptions: unset MQTT_SHARE_GROUP",
    "the broker keeps our session for 60 s only",
  ]);
  expect(remarksOn(undefined, settings, 5)).toEqual([]);
});

test("a session that ends within a day unless that is asked for, and QoS 0, lose messages", () => {
  const granted = { grantedQos: 1, refused: [], kept: [] };
  const kept = (seconds: number, env: Record<string, string> = {}, grantedQos = 1) =>
    lossAhead({ sessionExpiryInterval: seconds }, settingsOf(mqttSettings, env), { ...granted, grantedQos });
  expect(kept(86_400)).toBeNull();
  expect(kept(60)).toBe("the broker keeps our session for 60 s only");
  expect(kept(60, { MQTT_SESSION_EXPIRY_SECONDS: "60" })).toBeNull();
  expect(kept(60, {}, 0)).toContain("s only; it grants QoS 0 only");
  expect(lossAhead(undefined, settingsOf(mqttSettings, {}), granted)).toBeNull();
});

test("the place of a broker holds neither user nor password nor query", () => {
  expect(placeOf("wss://user:pass@broker.example:8884/mqtt?token=x")).toBe("wss://broker.example:8884/mqtt");
});

test("mistakes: certificates without TLS, a certificate without its key, a missing file", () => {
  const mistakes = mqttMistakes(
    settingsOf(mqttSettings, { MQTT_URL: "mqtt://b:1883", MQTT_TLS_CERT: "/nowhere/client.crt" }),
  );
  expect(mistakes).toHaveLength(3);
  expect(mistakes[0]).toContain("MQTT_TLS_CERT and MQTT_TLS_KEY belong together");
  expect(mistakes[1]).toContain("mqtts:// or wss://");
  expect(mistakes[2]).toContain("MQTT_TLS_CERT: cannot read /nowhere/client.crt");
  expect(mqttMistakes(settingsOf(mqttSettings, { MQTT_URL: "mqtts://b" }))).toEqual([]);
});

test.each([
  ["tenant/+/device/+/+", true],
  ["#", true],
  ["site/#", true],
  ["+", true],
  ["", false],
  ["site/#/x", false],
  ["site/a+/x", false],
  ["$share/g/tenant/#", false],
])("MQTT_TOPIC=%p is a topic filter: %p", (topic, good) => {
  expect(mqttSettings.topic.schema.safeParse(topic).success).toBe(good);
});
