/**
 * When the certificates named in the settings expire. They are found by the settings' names, so that a new one is
 * watched from its first day. The files are read at most once a minute, because a bundle of CAs holds a hundred
 * certificates and /metrics may be read often.
 */
import { certificateEnd, type CertificateEnd } from "../core/net/pem.ts";
import type { Clock } from "../core/clock.ts";
import type { Config } from "./index.ts";
import { placesOf } from "./tables.ts";

const readEveryMs = 60_000;
const isCertificate = /_TLS_(CA|CERT)$/;

export function watchedCertificates(config: Config, clock: Clock): () => readonly CertificateEnd[] {
  let ends: readonly CertificateEnd[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.monoMs() - readAtMs >= readEveryMs) {
      readAtMs = clock.monoMs();
      ends = certificateFiles(config).flatMap(([setting, path]) => certificateEnd(setting, path) ?? []);
    }
    return ends;
  };
}

function certificateFiles(config: Config): (readonly [setting: string, path: string])[] {
  return placesOf(config).flatMap(({ setting: { name }, values, key }) => {
    const path = values[key];
    return isCertificate.test(name) && typeof path === "string" ? [[name, path] as const] : [];
  });
}
