/**
 * The devices of the fuzz tests and their nasty values: names that are legal in a topic and awkward everywhere behind
 * it; tokens as the registry issues them, and tokens that an operator might invent.
 */
import type { DeviceAuth } from "../../src/core/device.ts";
import { aDevice, sha256 } from "../kit/builders.ts";
import { raw, type Value } from "./json.ts";

export interface Device {
  readonly row: DeviceAuth;
  readonly token: string;
}

const names = [
  ..."dev-0001 17 d,e=f \\ back\\slash \" ' __proto__ constructor %s \\N \\. null NaN été дом 設備 😀 {a} a:b #1".split(
    " ",
  ),
  "with space",
  " led",
  "trailing\\",
  "\u2028\u2029",
  "\ufeff",
  "\u200b",
  "e\u0301",
  "\u{10ffff}",
  "x".repeat(512),
] as const;

const oddTokens = [
  "1234567890",
  'to"ken\\with/escapes',
  "tök€n-😀-unicode",
  "spaces in it",
  "short",
  "tok-x",
] as const;

export const tenants = ["acme", "globex", 'o\'neil, "sons"', "__proto__", "ünïcode", "a=b c"] as const;

/** A token as the registry hands them out, the same each time. */
function issued(of: string): string {
  return `tok-${Buffer.from(sha256(of), "hex").subarray(0, 24).toString("base64url")}`;
}

export const devices: readonly Device[] = tenants.flatMap((tenantId) =>
  names.map((deviceId, at): Device => {
    const token = oddTokens[at % 11] ?? issued(`${tenantId}/${deviceId}`);
    const odd = at % 7;
    const row = aDevice({
      tenantId,
      deviceId,
      siteId: odd === 3 ? 'site, with "all" of=it' : "lab-1",
      status: odd === 5 ? "REVOKED" : "ACTIVE",
      tokenHash: odd === 6 ? null : sha256(token),
    });
    return { row, token };
  }),
);

/** Characters that end, split or hide something in one of the formats behind the judge. */
export const sharp: readonly [string, ...string[]] = [
  "\0",
  ..."\b\t\n\v\f\r\u001b\u007f\u0085\u00a0\u2028\u2029\ufeff\ufffd\ufffe\"'\\/,=: {}[]#$%&*`|<>NéΩ漢😀",
  "\ud800",
  "\udc00",
  "\\N",
  "\\.",
  "\\u0000",
  "\u{10ffff}",
];

export const numbers: readonly [Value, ...Value[]] = [
  0,
  ...[-0, 1, -1, 0.1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 2 ** 53, 2 ** 53 - 1, 2 ** 63, -(2 ** 63)],
  ...[
    "1.0",
    "-0.0",
    "1e5",
    "1E+5",
    "1e400",
    "-1e400",
    "1e-400",
    "9223372036854775807",
    "9223372036854775808",
  ].map(raw),
  ...[
    "18446744073709551616",
    "1e131071",
    "1e131073",
    "1e-16384",
    "0e999999999",
    "0.1e1",
    "314159265358979323846264338327",
  ].map(raw),
  raw("9".repeat(400)),
  raw(`0.${"3".repeat(400)}`),
];

/** What no JSON parser should accept. */
export const noNumbers = [
  "NaN",
  "-Infinity",
  "01",
  "+1",
  ".5",
  "1.",
  "0x10",
  "1_000",
  "--1",
  "1e",
  "undefined",
  "True",
] as const;

export const timestamps: readonly [Value, ...Value[]] = [
  "2026-11-21T00:00:00Z",
  ...["2026-11-21T00:00:00.123456789Z", "2026-11-21 00:00:00+05:30", "20261121T000000Z"],
  ...[
    "2026-11-21",
    "1677-09-21T00:12:43.146Z",
    "2262-04-11T23:47:16.853Z",
    "2262-04-11T23:47:16.855Z",
    "2026-02-30T00:00:00Z",
  ],
  ...[
    "",
    "now",
    "1969-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:59Z",
    "2026-11-21T24:00:00Z",
    "\0",
    "2026-11-21T00:00:00,5Z",
  ],
  ...[
    0, -1, 1.5, 1_795_219_200, 1_795_219_200_000, 1_795_219_200.123_456, -9_223_372_036_854,
    9_223_372_036_854, 1e11, 99_999_999_999, 1e300,
  ],
  raw("-0"),
  raw("1e12"),
  null,
  true,
];
