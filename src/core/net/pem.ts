/**
 * Certificates and keys from files. Read when they are used, so that a renewed one needs no restart; and looked at closely, for TLS
 * libraries take a file that is none for an empty list, and say so at the first connection if at all.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { explain } from "../log/log.ts";

/** Paths by what is in them. */
export interface TlsPaths {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface TlsTexts {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What people call each of the files: the setting, or the parameter of a URL. */
export type TlsNames = Readonly<Record<keyof TlsPaths, string>>;

/** @throws a sentence that names the setting, the file and what is wrong with it */
export function readTls(names: Partial<TlsNames>, { ca, cert, key }: TlsPaths): TlsTexts {
  const texts = {
    ...(ca !== undefined && { ca: readCertificates(names.ca ?? "", ca) }),
    ...(cert !== undefined && { cert: readCertificates(names.cert ?? "", cert) }),
    ...(key !== undefined && { key: readKey(names.key ?? "", key) }),
  };
  if (texts.cert === undefined || texts.key === undefined) return texts;
  if (!belong(texts.cert, texts.key))
    throw new Error(`${names.key}: ${key} is not the key of the certificate in ${cert} (${names.cert})`);
  try {
    createSecureContext({ cert: texts.cert, key: texts.key });
  } catch (cause) {
    throw new Error(`${names.cert}: TLS knows no key of the kind that the certificate in ${cert} has`, {
      cause,
    });
  }
  return texts;
}

/** A sentence for the first of the files that cannot be used; those that are not set are no mistake. */
export function tlsMistakes(names: Partial<TlsNames>, paths: TlsPaths): string[] {
  const each = (["ca", "cert", "key"] as const).flatMap((kind) =>
    mistakeOf(() => readTls(names, { [kind]: paths[kind] })),
  );
  return each.length > 0 ? each : mistakeOf(() => readTls(names, paths));
}

/** A certificate without its key, or the reverse. */
export function pairMistakes(
  names: Pick<TlsNames, "cert" | "key">,
  { cert, key }: Pick<TlsPaths, "cert" | "key">,
): string[] {
  const isHalf = (cert === undefined) !== (key === undefined);
  return isHalf ? [`${names.cert} and ${names.key} belong together: set both or neither`] : [];
}

/** When a file's first certificate to end does so. */
export interface CertificateEnd {
  /** The setting that names the file. */
  readonly setting: string;
  /** Seconds since 1970. */
  readonly endsSeconds: number;
}

/** undefined if the file cannot be read, or is none: whoever uses it says so. */
export function certificateEnd(setting: string, path: string): CertificateEnd | undefined {
  try {
    const ends = certificatesIn(readFileSync(path, "utf8")).map((block) =>
      Date.parse(new X509Certificate(block).validTo),
    );
    return ends.length === 0 ? undefined : { setting, endsSeconds: Math.min(...ends) / 1000 };
  } catch {
    return undefined;
  }
}

function mistakeOf(read: () => unknown): string[] {
  try {
    read();
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** As `read` says, and once that was good, what it said last if it is good no more (a file that is just being written). */
export function lastGood<T>(read: () => T): () => T {
  let good: { readonly value: T } | undefined;
  return () => {
    try {
      good = { value: read() };
    } catch (error) {
      if (good === undefined) throw error;
    }
    return good.value;
  };
}

function readCertificates(name: string, path: string): string {
  const text = readText(name, path);
  const blocks = certificatesIn(text);
  if (blocks.length === 0) throw new Error(`${name}: ${path} holds no certificate in PEM`);
  for (const block of blocks) parsed(name, path, "certificate", () => new X509Certificate(block));
  return text;
}

function certificatesIn(text: string): readonly string[] {
  return text.match(/-----BEGIN (TRUSTED )?CERTIFICATE-----[^]*?-----END (TRUSTED )?CERTIFICATE-----/g) ?? [];
}

function readKey(name: string, path: string): string {
  const text = readText(name, path);
  if (!text.includes("PRIVATE KEY-----")) throw new Error(`${name}: ${path} holds no private key in PEM`);
  if (text.includes("ENCRYPTED"))
    throw new Error(`${name}: the key in ${path} wants a passphrase: give one without (openssl pkey)`);
  parsed(name, path, "private key", () => createPrivateKey(text));
  return text;
}

function readText(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`${name}: cannot read ${path} (${explain(cause)})`, { cause });
  }
}

function parsed(name: string, path: string, what: string, parse: () => unknown): void {
  try {
    parse();
  } catch (cause) {
    throw new Error(`${name}: the ${what} in ${path} is damaged`, { cause });
  }
}

function belong(cert: string, key: string): boolean {
  return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
}
