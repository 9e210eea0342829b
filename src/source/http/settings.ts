/** The settings of HTTP ingest. It has a listener of its own, so that devices never reach the administration. */
import { pairMistakes, readTls, tlsMistakes, type TlsTexts } from "../../core/net/pem.ts";
import { integer, listenAt, optionalString, type Values } from "../../core/settings.ts";

export const ingestSettings = {
  listen: optionalString({
    name: "INGEST_LISTEN",
    unit: "host:port",
    check: listenAt("127.0.0.1:8081 or [::]:8081"),
    help: "Where devices may POST messages (absent: nowhere).",
  }),
  tlsCert: optionalString({
    name: "INGEST_TLS_CERT",
    unit: "path",
    help: "PEM file of its certificate; with it only HTTPS is spoken there.",
  }),
  tlsKey: optionalString({
    name: "INGEST_TLS_KEY",
    unit: "path",
    help: "PEM file of the key of INGEST_TLS_CERT.",
  }),
  maxConnections: integer({
    name: "INGEST_MAX_CONNECTIONS",
    default: 1_000,
    unit: "connections",
    min: 1,
    max: 100_000,
    help: "Connections beyond this many are closed at once.",
  }),
  maxBodyBytes: integer({
    name: "INGEST_MAX_BODY_BYTES",
    default: 8 * 1024 * 1024,
    unit: "bytes",
    min: 1024,
    max: 64 * 1024 * 1024,
    help: "Most bytes of one request's body, once unpacked.",
  }),
};

export type IngestSettings = Values<typeof ingestSettings>;

const tlsNames = { cert: "INGEST_TLS_CERT", key: "INGEST_TLS_KEY" };

export function ingestMistakes({ tlsCert: cert, tlsKey: key }: IngestSettings): string[] {
  return [...pairMistakes(tlsNames, { cert, key }), ...tlsMistakes(tlsNames, { cert, key })];
}

/** undefined: plain HTTP. @throws a sentence that names setting and file */
export function ingestTls({ tlsCert: cert, tlsKey: key }: IngestSettings): TlsTexts | undefined {
  return cert === undefined ? undefined : readTls(tlsNames, { cert, key });
}
