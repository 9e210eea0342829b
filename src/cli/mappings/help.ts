/** `sluice help mappings`: the language on one page, then ready mappings to copy. */
import { readyText } from "./ready.ts";

const language = `# MAPPINGS_FILE names a TOML file that says how messages of other topics and forms than our own are read. It is read at the start;
# every mistake is told with line and column. Try it with a message of yours before:
#
#   MAPPINGS_FILE=mappings.toml sluice mappings try --topic tele/pump-7/SENSOR < message.json
#
# tenant = "acme"        at the top: for what topic and payload name none; site = ... likewise
#
# topic                  literal levels; + one that does not matter; {name} a level, or a part of one; {name...} the rest, joined with _
# tenant device type     who speaks and what it is; else the level of that name, type telemetry
# site                   else the registry's
# time seq token         pointers; else the arrival, none, "/provision_token"
# metrics                a pointer, several, or { name = "pointer" }; else the whole record, less what other keys point at
# name value             the metric's name and its value; else the level {metric} and the payload itself
# each                   one record per member: "/values/*", "/{device}/*"; with name, those of one device and time are one event
# text                   values that are text: keep, number (what reads as one becomes one), drop
# drop                   pointers that are no metrics
# raw                    false: what the device sent is not kept beside the metrics
# proof                  token: in the message · connection: proved at CONNECT to the embedded broker · broker: registered is
#                        enough. With "broker" whoever may publish there speaks for every registered device of the tenant:
#                        the site's broker must keep others out.
#
# A value is a JSON pointer into the record and, if that lacks it, the payload ("/a/b"), text with levels ("{a}-{b}"), or plain text.
# Of two mappings whose topics can meet, one must contain the other, and the narrower stands first.
# A reading per topic needs a higher RATE_LIMIT_RPS than one message with all of them. A message counts once, however many
# events it makes. INFLUX_TABLES says which types go to InfluxDB, too.
#
# Below: a ready mapping per source. Copy those that the site has: all of them in one file are refused, since some of their topics meet.

tenant = "acme"
`;

export const helpMappings = (): string => `${language}\n${readyText}`;
