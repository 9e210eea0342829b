/**
 * `sluice help mappings`: a mapping for each source that is met on real sites, to copy. Topics are those of the source's default; a
 * source that lets its operator choose them has an example.
 *
 * As text and not made from data: it is what stands in the file, and the tests send each source's own form through it.
 */

export interface Ready {
  readonly source: string;
  /** What one must know of it; null: nothing. */
  readonly note: string | null;
  readonly toml: string;
}

const broker = `proof = "broker"`;

/** [source, note, lines] */
const rows: readonly (readonly [string, string | null, string])[] = [
  [
    "Tasmota",
    "Its FullTopic is %prefix%/%topic%; put the three in this order. Time has no zone, so the arrival counts.",
    `[[mapping]]
topic = "tele/{device}/SENSOR"
text  = "drop"
drop  = ["/Time"]
${broker}

[[mapping]]
topic = "tele/{device}/STATE"
type  = "heartbeat"
text  = "drop"
${broker}

[[mapping]]
topic = "tele/{device}/{metric}"
type  = "status"
${broker}`,
  ],
  [
    "Shelly, first generation",
    null,
    `[[mapping]]
topic = "shellies/{device}/{metric...}"
${broker}`,
  ],
  [
    "Shelly, second generation and later: whole status",
    "Turn on generic status updates over MQTT. The prefix is the device's name; beside other sources give it one with a slash, and the topic here likewise: shelly/{device}/status/{part}.",
    `[[mapping]]
topic = "{device}/status/{part}"
name  = "{part}"
${broker}`,
  ],
  [
    "Shelly, second generation and later: changes",
    "NotifyStatus alone; other notifications on this topic are rejected.",
    `[[mapping]]
topic   = "{device}/events/rpc"
time    = "/params/ts"
metrics = "/params"
${broker}`,
  ],
  [
    "Zigbee2MQTT",
    "With last_seen set to ISO_8601. For friendly names with a slash: {device...}, which makes floor_lamp of floor/lamp and takes the bridge's topics too.",
    `[[mapping]]
topic = "zigbee2mqtt/{device}"
time  = "/last_seen"
${broker}`,
  ],
  [
    "ESPHome",
    "Beside other sources set topic_prefix to esphome/<name>, and the topic here likewise: esphome/{device}/sensor/{metric}/state.",
    `[[mapping]]
topic = "{device}/sensor/{metric}/state"
${broker}`,
  ],
  [
    "The Things Stack 3",
    "QoS 0 only: what comes while we are away is lost.",
    `[[mapping]]
topic   = "v3/{app}@{tenant}/devices/{device}/up"
time    = "/received_at"
seq     = "/uplink_message/f_cnt"
metrics = "/uplink_message/decoded_payload"
${broker}`,
  ],
  [
    "ChirpStack 4",
    "Leave out tenant and site if ChirpStack names them otherwise.",
    `[[mapping]]
topic   = "application/{app}/device/{device}/event/up"
tenant  = "/deviceInfo/tenantName"
site    = "/deviceInfo/tags/site"
time    = "/time"
seq     = "/fCnt"
metrics = ["/object", "/rxInfo/0/rssi"]
${broker}`,
  ],
  [
    "Milesight gateway, decoded there",
    null,
    `[[mapping]]
topic   = "application/{app}/device/{eui}/rx"
device  = "/devEUI"
time    = "/time"
seq     = "/fCnt"
metrics = "/object"
${broker}`,
  ],
  [
    "Milesight gateway, flat on one topic",
    null,
    `[[mapping]]
topic  = "milesight/uplink"
device = "/devEUI"
time   = "/time"
text   = "drop"
${broker}`,
  ],
  [
    "Helium console",
    "reported_at counts ms; older consoles send seconds, which is told apart.",
    `[[mapping]]
topic   = "helium/{org}/rx/{id}"
device  = "/dev_eui"
time    = "/reported_at"
seq     = "/fcnt"
metrics = "/decoded/payload"
${broker}`,
  ],
  [
    "Sparkplug B as JSON (Ignition)",
    "The protobuf form is not taken.",
    `[[mapping]]
topic = "spBv1.0/{site}/DDATA/{node}/{device}"
each  = "/metrics/*"
time  = "/timestamp"
seq   = "/seq"
name  = "/name"
value = "/value"
${broker}`,
  ],
  [
    "Ruuvi Gateway",
    "The signal alone: the readings are hex within the advertisement.",
    `[[mapping]]
topic   = "ruuvi/{gateway}/{device}"
time    = "/ts"
metrics = "/rssi"
${broker}`,
  ],
  [
    "Theengs, OpenMQTTGateway",
    null,
    `[[mapping]]
topic = "home/{gateway}/BTtoMQTT/{device}"
text  = "drop"
${broker}`,
  ],
  [
    "Victron Venus OS",
    "It sends zero bytes when a device is gone, which is rejected. Ask it for readings with its keep-alive.",
    `[[mapping]]
topic  = "N/{portal}/{service}/{n}/{metric...}"
device = "{portal}-{service}-{n}"
value  = "/value"
${broker}`,
  ],
  [
    "ThingsBoard device API, readings alone",
    "For the embedded broker: the device is whom the client proved itself as, with its token as user name as at ThingsBoard, or by its name. On one topic only one of the three forms.",
    `[[mapping]]
topic = "v1/devices/me/telemetry"
proof = "connection"`,
  ],
  [
    "ThingsBoard device API, with time",
    null,
    `[[mapping]]
topic   = "v1/devices/me/telemetry"
time    = "/ts"
metrics = "/values"
proof   = "connection"`,
  ],
  [
    "ThingsBoard device API, a list",
    null,
    `[[mapping]]
topic   = "v1/devices/me/telemetry"
each    = "/*"
time    = "/ts"
metrics = "/values"
proof   = "connection"`,
  ],
  [
    "ThingsBoard gateway API",
    null,
    `[[mapping]]
topic   = "v1/gateway/telemetry"
each    = "/{device}/*"
time    = "/ts"
metrics = "/values"
${broker}`,
  ],
  [
    "Azure IoT style",
    "The properties behind the last slash are passed over.",
    `[[mapping]]
topic = "devices/{device}/messages/events/{properties...}"
${broker}`,
  ],
  [
    "AWS IoT style",
    null,
    `[[mapping]]
topic = "dt/{app}/{site}/{device}/{group}"
time  = "/ts"
${broker}`,
  ],
  [
    "AWS IoT shadow",
    null,
    `[[mapping]]
topic   = "$aws/things/{device}/shadow/update"
metrics = "/state/reported"
${broker}`,
  ],
  [
    "Cumulocity, measurements as JSON",
    "For the embedded broker. SmartREST (CSV) is not taken.",
    `[[mapping]]
topic = "measurement/measurements/create"
time  = "/time"
text  = "drop"
proof = "connection"`,
  ],
  [
    "thin-edge.io",
    "The empty levels are meant.",
    `[[mapping]]
topic = "te/device/{device}///m/{group}"
time  = "/time"
${broker}`,
  ],
  [
    "Siemens Industrial Edge",
    'Older connectors quote numbers: add text = "number".',
    `[[mapping]]
topic = "ie/d/j/simatic/v1/+/dp/r/{device}/+"
each  = "/vals/*"
time  = "/ts"
seq   = "/seq"
name  = "/id"
value = "/val"
${broker}`,
  ],
  [
    "Kepware IoT Gateway",
    "The tag's name holds channel and device; all of it is the metric's name.",
    `[[mapping]]
topic  = "iotgateway"
device = "kepware-1"
each   = "/values/*"
time   = "/t"
name   = "/id"
value  = "/v"
${broker}`,
  ],
  [
    "EMQX Neuron, tags",
    "The leading slash is meant. On one topic only one of the two forms.",
    `[[mapping]]
topic = "/neuron/{gateway}/{device}/{group}"
each  = "/tags/*"
time  = "/timestamp"
name  = "/name"
value = "/value"
${broker}`,
  ],
  [
    "EMQX Neuron, values",
    null,
    `[[mapping]]
topic   = "/neuron/{gateway}/{device}/{group}"
time    = "/timestamp"
metrics = "/values"
${broker}`,
  ],
  [
    "Beckhoff, WAGO PLC JSON",
    null,
    `[[mapping]]
topic   = "plc/{device}/{group}"
time    = "/Timestamp"
metrics = "/Values"
${broker}`,
  ],
  [
    "Teltonika",
    'For a template with these names; a Modbus value in brackets ("[215]") stays text.',
    `[[mapping]]
topic = "teltonika/{device}"
time  = "/timestamp"
name  = "/name"
value = "/data"
text  = "number"
${broker}`,
  ],
  [
    "Home Assistant statestream",
    "It publishes as retained: what comes at a new subscription has no time, and is rejected.",
    `[[mapping]]
topic = "ha/{domain}/{device}/{metric}"
${broker}`,
  ],
  [
    "Meshtastic",
    "A node is known by its number. What several gateways heard comes several times.",
    `[[mapping]]
topic   = "msh/{region}/2/json/{channel}/{gateway}"
device  = "/from"
time    = "/timestamp"
metrics = "/payload"
${broker}`,
  ],
  [
    "Wiren Board",
    null,
    `[[mapping]]
topic = "/devices/{device}/controls/{metric}"
${broker}`,
  ],
  [
    "Homie 5",
    "It publishes as retained, as Home Assistant does.",
    `[[mapping]]
topic = "homie/5/{device}/{node}/{property}"
name  = "{node}_{property}"
${broker}`,
  ],
  [
    "EdgeX",
    null,
    `[[mapping]]
topic = "edgex/events/device/{service}/{profile}/{device}/{source}"
each  = "/event/readings/*"
time  = "/origin"
name  = "/resourceName"
value = "/value"
text  = "number"
${broker}`,
  ],
  [
    "Sensor.Community",
    "It speaks HTTP only; this is for what brings its messages to a topic.",
    `[[mapping]]
topic  = "sensor.community"
device = "/esp8266id"
each   = "/sensordatavalues/*"
name   = "/value_type"
value  = "/value"
text   = "number"
${broker}`,
  ],
  [
    "Sluice's own envelope under another topic",
    "With the token in the message, as under our own.",
    `[[mapping]]
topic   = "plants/{tenant}/{device}/{type}"
site    = "/site_id"
time    = "/ts"
seq     = "/seq"
metrics = "/metrics"`,
  ],
];

export const ready: readonly Ready[] = rows.map(([source, note, toml]) => ({ source, note, toml }));
