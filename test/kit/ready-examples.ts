/** Per ready mapping of `sluice help mappings`: a message in its source's own form, and the expected result. */

export interface Says {
  readonly device: string;
  readonly type?: string;
  readonly site?: string;
  /** Its event time, if it has one of its own. */
  readonly at?: string;
  readonly seq?: number;
  readonly metrics: Readonly<Record<string, unknown>>;
}

export interface ReadyExample {
  readonly source: string;
  readonly topic: string;
  readonly payload: unknown;
  readonly says: readonly Says[];
}

const at = "2026-11-20T10:30:00.000Z";
const seconds = Date.parse(at) / 1000;
const ms = Date.parse(at);

/** [source, topic, payload (text as it is), what it says] */
const rows: readonly (readonly [string, string, unknown, ...Says[]])[] = [
  [
    "Tasmota",
    "tele/boiler/SENSOR",
    { Time: "2026-11-20T11:30:00", AM2301: { Temperature: 19.4, Humidity: 51 }, TempUnit: "C" },
    { device: "boiler", metrics: { AM2301_Temperature: 19.4, AM2301_Humidity: 51 } },
  ],
  [
    "Tasmota",
    "tele/boiler/STATE",
    { Time: "2026-11-20T11:30:00", Uptime: "0T00:10:00", UptimeSec: 600, Vcc: 3.4, POWER: "OFF" },
    { device: "boiler", type: "heartbeat", metrics: { UptimeSec: 600, Vcc: 3.4 } },
  ],
  [
    "Tasmota",
    "tele/boiler/LWT",
    "Offline",
    { device: "boiler", type: "status", metrics: { LWT: "Offline" } },
  ],
  [
    "Shelly, first generation",
    "shellies/shelly1pm-AABB/relay/0/power",
    "61.05",
    { device: "shelly1pm-AABB", metrics: { relay_0_power: 61.05 } },
  ],
  [
    "Shelly, second generation and later: whole status",
    "shellyplus1pm-cc/status/switch:0",
    { id: 0, source: "init", output: true, apower: 61.1, aenergy: { total: 12.5, by_minute: [1, 2] } },
    {
      device: "shellyplus1pm-cc",
      metrics: {
        "switch:0_id": 0,
        "switch:0_source": "init",
        "switch:0_output": true,
        "switch:0_apower": 61.1,
        "switch:0_aenergy_total": 12.5,
        "switch:0_aenergy_by_minute_0": 1,
        "switch:0_aenergy_by_minute_1": 2,
      },
    },
  ],
  [
    "Shelly, second generation and later: changes",
    "shellyplus1pm-cc/events/rpc",
    {
      src: "shellyplus1pm-cc",
      dst: "shellyplus1pm-cc/events",
      method: "NotifyStatus",
      params: { ts: seconds + 0.25, "switch:0": { id: 0, apower: 60.2 } },
    },
    {
      device: "shellyplus1pm-cc",
      at: "2026-11-20T10:30:00.250Z",
      metrics: { "switch:0_id": 0, "switch:0_apower": 60.2 },
    },
  ],
  [
    "Zigbee2MQTT",
    "zigbee2mqtt/cellar-door",
    { contact: false, battery: 93, voltage: 2985, linkquality: 71, last_seen: "2026-11-20T11:30:00+01:00" },
    { device: "cellar-door", at, metrics: { contact: false, battery: 93, voltage: 2985, linkquality: 71 } },
  ],
  ["ESPHome", "attic/sensor/co2/state", "612", { device: "attic", metrics: { co2: 612 } }],
  [
    "The Things Stack 3",
    "v3/meters@acme/devices/eui-01/up",
    {
      end_device_ids: { device_id: "eui-01", application_ids: { application_id: "meters" } },
      received_at: "2026-11-20T10:30:00.123456789Z",
      uplink_message: {
        f_port: 2,
        f_cnt: 7,
        frm_payload: "AQ==",
        decoded_payload: { level: 0.82, valve: { open: true } },
        rx_metadata: [{ rssi: -101 }],
      },
    },
    { device: "eui-01", at: "2026-11-20T10:30:00.123Z", seq: 7, metrics: { level: 0.82, valve_open: true } },
  ],
  [
    "ChirpStack 4",
    "application/0a1b/device/0011223344556677/event/up",
    {
      time: at,
      deviceInfo: { tenantName: "acme", devEui: "0011223344556677", tags: { site: "hall-7" } },
      fCnt: 8,
      object: { level: 0.83 },
      rxInfo: [{ gatewayId: "01", rssi: -97, snr: 3 }],
    },
    { device: "0011223344556677", at, seq: 8, metrics: { level: 0.83, rssi: -97 } },
  ],
  [
    "Milesight gateway, decoded there",
    "application/1/device/24e124/rx",
    { applicationID: 1, devEUI: "24e124", time: at, fCnt: 9, object: { temperature: 4.5, door: "open" } },
    { device: "24e124", at, seq: 9, metrics: { temperature: 4.5, door: "open" } },
  ],
  [
    "Milesight gateway, flat on one topic",
    "milesight/uplink",
    { devEUI: "24e125", time: at, temperature: 4.6, humidity: 71, gateway: "gw" },
    { device: "24e125", at, metrics: { temperature: 4.6, humidity: 71 } },
  ],
  [
    "Helium console",
    "helium/0f/rx/12",
    { dev_eui: "6081f9", fcnt: 10, reported_at: ms, decoded: { status: "success", payload: { ph: 7.1 } } },
    { device: "6081f9", at, seq: 10, metrics: { ph: 7.1 } },
  ],
  [
    "Sparkplug B as JSON (Ignition)",
    "spBv1.0/hall-7/DDATA/node-1/press-9",
    {
      timestamp: ms,
      seq: 11,
      metrics: [
        { name: "Press/Force", timestamp: ms, dataType: "Double", value: 12.75 },
        { name: "Press/Door", timestamp: ms, dataType: "Boolean", value: false },
      ],
    },
    { device: "press-9", at, seq: 11, metrics: { "Press/Force": 12.75, "Press/Door": false } },
  ],
  [
    "Ruuvi Gateway",
    "ruuvi/AA-BB/CC-DD",
    {
      gw_mac: "AA:BB",
      rssi: -62,
      aoa: [],
      gwts: String(seconds),
      ts: String(seconds),
      data: "0201061BFF99",
      coords: "",
    },
    { device: "CC-DD", at, metrics: { rssi: -62 } },
  ],
  [
    "Theengs, OpenMQTTGateway",
    "home/omg/BTtoMQTT/A4C138",
    { id: "A4:C1:38", name: "LYWSD03MMC", rssi: -70, brand: "Xiaomi", tempc: 20.9, hum: 44.2, batt: 78 },
    { device: "A4C138", metrics: { rssi: -70, tempc: 20.9, hum: 44.2, batt: 78 } },
  ],
  [
    "Victron Venus OS",
    "N/c0619/battery/256/Dc/0/Voltage",
    { value: 26.41 },
    { device: "c0619-battery-256", metrics: { Dc_0_Voltage: 26.41 } },
  ],
  [
    "ThingsBoard device API, readings alone",
    "v1/devices/me/telemetry",
    { pressure: 3.2, state: "run" },
    { device: "press-3", metrics: { pressure: 3.2, state: "run" } },
  ],
  [
    "ThingsBoard device API, with time",
    "v1/devices/me/telemetry",
    { ts: ms, values: { pressure: 3.3 } },
    { device: "press-3", at, metrics: { pressure: 3.3 } },
  ],
  [
    "ThingsBoard device API, a list",
    "v1/devices/me/telemetry",
    [
      { ts: ms, values: { pressure: 3.4 } },
      { ts: ms + 1000, values: { pressure: 3.5 } },
    ],
    { device: "press-3", at, metrics: { pressure: 3.4 } },
    { device: "press-3", at: "2026-11-20T10:30:01.000Z", metrics: { pressure: 3.5 } },
  ],
  [
    "ThingsBoard gateway API",
    "v1/gateway/telemetry",
    { "mill-1": [{ ts: ms, values: { rpm: 900 } }], "mill-2": [{ ts: ms, values: { rpm: 905 } }] },
    { device: "mill-1", at, metrics: { rpm: 900 } },
    { device: "mill-2", at, metrics: { rpm: 905 } },
  ],
  [
    "Azure IoT style",
    "devices/mill-3/messages/events/$.ct=application%2Fjson",
    { rpm: 910, load: { p: 0.4 } },
    { device: "mill-3", metrics: { rpm: 910, load_p: 0.4 } },
  ],
  [
    "AWS IoT style",
    "dt/mills/hall-7/mill-4/drive",
    { ts: seconds, torque: { nm: 41 } },
    { device: "mill-4", at, metrics: { torque_nm: 41 } },
  ],
  [
    "AWS IoT shadow",
    "$aws/things/mill-5/shadow/update",
    { state: { reported: { rpm: 912, on: true } } },
    { device: "mill-5", metrics: { rpm: 912, on: true } },
  ],
  [
    "Cumulocity, measurements as JSON",
    "measurement/measurements/create",
    { type: "c8y_Flow", time: at, c8y_Flow: { F: { value: 12.5, unit: "l/min" } } },
    { device: "press-3", at, metrics: { c8y_Flow_F_value: 12.5 } },
  ],
  [
    "thin-edge.io",
    "te/device/child-1///m/environment",
    { time: at, temperature: 23, current: { L1: 9.5, L2: 1.25 } },
    { device: "child-1", at, metrics: { temperature: 23, current_L1: 9.5, current_L2: 1.25 } },
  ],
  [
    "Siemens Industrial Edge",
    "ie/d/j/simatic/v1/s7c1/dp/r/plc-2/default",
    {
      seq: 12,
      vals: [
        { id: "7", qc: 3, ts: at, val: 1.5 },
        { id: "8", qc: 3, ts: at, val: 9007199254740993n },
      ],
    },
    { device: "plc-2", at, seq: 12, metrics: { "7": 1.5, "8": 9007199254740993n } },
  ],
  [
    "Kepware IoT Gateway",
    "iotgateway",
    {
      timestamp: ms + 5,
      values: [
        { id: "Ch1.Dev1.Temp", v: 42, q: true, t: ms },
        { id: "Ch1.Dev1.Run", v: false, q: true, t: ms },
      ],
    },
    { device: "kepware-1", at, metrics: { "Ch1.Dev1.Temp": 42, "Ch1.Dev1.Run": false } },
  ],
  [
    "EMQX Neuron, tags",
    "/neuron/gw-9/modbus-2/grp",
    {
      timestamp: ms,
      node: "modbus-2",
      group: "grp",
      tags: [
        { name: "a", value: 1.5 },
        { name: "b", error: 3002 },
      ],
    },
    { device: "modbus-2", at, metrics: { a: 1.5 } },
  ],
  [
    "EMQX Neuron, values",
    "/neuron/gw-9/modbus-3/grp",
    { timestamp: ms, node: "modbus-3", group: "grp", values: { a: 2.5 }, errors: { b: 3002 } },
    { device: "modbus-3", at, metrics: { a: 2.5 } },
  ],
  [
    "Beckhoff, WAGO PLC JSON",
    "plc/press-8/slow",
    { Timestamp: "2026-11-20T10:30:00", GroupName: "slow", Values: { nParts: 17, aTemp: [20.5, 21.5] } },
    { device: "press-8", at, metrics: { nParts: 17, aTemp_0: 20.5, aTemp_1: 21.5 } },
  ],
  [
    "Teltonika",
    "teltonika/rut-1",
    { timestamp: seconds, server_name: "meter", name: "power", data: "215" },
    { device: "rut-1", at, metrics: { power: 215 } },
  ],
  [
    "Home Assistant statestream",
    "ha/sensor/porch_lux/state",
    "18.5",
    { device: "porch_lux", metrics: { state: 18.5 } },
  ],
  [
    "Meshtastic",
    "msh/EU_868/2/json/LongFast/!da5a",
    {
      from: 3663077,
      to: 4294967295,
      type: "telemetry",
      timestamp: seconds,
      payload: { battery_level: 88, voltage: 4.01 },
    },
    { device: "3663077", at, metrics: { battery_level: 88, voltage: 4.01 } },
  ],
  ["Wiren Board", "/devices/wb-mr6/controls/K1", "1", { device: "wb-mr6", metrics: { K1: 1 } }],
  ["Homie 5", "homie/5/pump/motor/speed", "1450", { device: "pump", metrics: { motor_speed: 1450 } }],
  [
    "EdgeX",
    "edgex/events/device/modbus/profile-1/meter-9/Power",
    {
      apiVersion: "v3",
      event: {
        deviceName: "meter-9",
        origin: BigInt(ms) * 1_000_000n,
        readings: [
          { resourceName: "Power", valueType: "Float64", value: "2.15e+02", origin: BigInt(ms) * 1_000_000n },
        ],
      },
    },
    { device: "meter-9", at, metrics: { Power: 215 } },
  ],
  [
    "Sensor.Community",
    "sensor.community",
    {
      esp8266id: "70123",
      software_version: "NRZ-2020",
      sensordatavalues: [
        { value_type: "SDS_P1", value: "12.47" },
        { value_type: "signal", value: "-71" },
      ],
    },
    { device: "70123", metrics: { SDS_P1: 12.47, signal: -71 } },
  ],
  [
    "Sluice's own envelope under another topic",
    "plants/acme/old-1/telemetry",
    { ts: at, site_id: "hall-7", seq: 13, provision_token: "tok-of-old-1-long-enough", metrics: { t: 20.5 } },
    { device: "old-1", at, seq: 13, metrics: { t: 20.5 } },
  ],
];

export const readyExamples: readonly ReadyExample[] = rows.map(([source, topic, payload, ...says]) => ({
  source,
  topic,
  payload,
  says,
}));
