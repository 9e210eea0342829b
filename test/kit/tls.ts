/** A CA, a server certificate for localhost and a client certificate, made with openssl in a temporary directory. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface Certificates {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
  /** Valid by itself, but has signed none of these. */
  readonly otherCa: string;
  remove(): void;
}

/** @param clientName the common name of the client's certificate */
export function makeCertificates(clientName = "client"): Certificates {
  const dir = mkdtempSync(join(tmpdir(), "sluice-tls-"));
  const at = (name: string) => join(dir, name);
  const makeCa = (name: string) =>
    openssl(
      "req",
      "-x509",
      "-subj",
      `/CN=${name}`,
      "-days",
      "2",
      ...newKey(at(`${name}.key`)),
      "-out",
      at(`${name}.crt`),
    );
  const makeLeaf = (name: string, extension: string, commonName = name) => {
    writeFileSync(at(`${name}.ext`), extension);
    const subject = `/CN=${commonName.replaceAll("/", String.raw`\/`)}`;
    openssl("req", "-subj", subject, ...newKey(at(`${name}.key`)), "-out", at(`${name}.csr`));
    const signer = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial"];
    openssl(
      "x509",
      "-req",
      "-in",
      at(`${name}.csr`),
      ...signer,
      "-days",
      "2",
      "-extfile",
      at(`${name}.ext`),
      "-out",
      at(`${name}.crt`),
    );
  };
  makeCa("ca");
  makeCa("other");
  makeLeaf("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
  makeLeaf("client", "extendedKeyUsage=clientAuth", clientName);
  return {
    ca: at("ca.crt"),
    serverCert: at("server.crt"),
    serverKey: at("server.key"),
    clientCert: at("client.crt"),
    clientKey: at("client.key"),
    otherCa: at("other.crt"),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** The client's certificate, as one that ended yesterday. */
export function endedCertificate({ ca }: Certificates): string {
  const at = (name: string) => join(dirname(ca), name);
  const signer = ["-CA", ca, "-CAkey", at("ca.key"), "-CAcreateserial"];
  openssl("x509", "-req", "-in", at("client.csr"), ...signer, "-days", "-1", "-out", at("ended.crt"));
  return at("ended.crt");
}

const newKey = (path: string) => [
  "-newkey",
  "ec",
  "-pkeyopt",
  "ec_paramgen_curve:prime256v1",
  "-nodes",
  "-keyout",
  path,
];

function openssl(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr.toString()}`);
}
