/**
 * Who may do what at the embedded broker.
 *
 * A device proves itself at CONNECT in one of three ways: with the user name <tenant>/<device> (or the device alone, if BROKER_TENANT
 * names the tenant) and its token as password; with its token alone, as user name without a password, as the devices of other
 * platforms do; with a certificate that BROKER_TLS_CA signed and whose common name is <tenant>/<device>. Then it may publish and
 * subscribe under its own topic only, and its messages need no token. Who gives no credentials is anonymous, which
 * BROKER_REQUIRE_AUTH forbids: he may publish, what the judge checks by the token in the payload, and reads nothing. Wrong
 * credentials are refused either way. The token is passed on and kept nowhere; its hash is, as long as the connection lasts.
 */
import { TLSSocket } from "node:tls";
import { hashOf } from "../../core/token.ts";
import { isLevel } from "../../core/topic-level.ts";
import type { DeviceId } from "../../core/device.ts";
import type { Authenticate, OwnerOf, Proof, StillProves } from "../../core/source.ts";

/** The topic under which a device may publish, with a slash at the end; null: anonymous. */
export type OwnTopic = string | null;

export type Admission =
  | { readonly admitted: true; readonly proof: Proof | null }
  /** Return code of MQTT 3.1.1 §3.2.2.3. */
  | { readonly admitted: false; readonly returnCode: 3 | 4 | 5; readonly why: string };

export interface Shown {
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly certificate: Certificate | null;
}

/** Its common name, or why it is not taken. */
type Certificate = { readonly commonName: string } | { readonly whyNot: string };

/** What was shown in the TLS handshake, which is asked for if BROKER_TLS_CA is set; null: nothing. */
export function certificateOf(conn: unknown): Certificate | null {
  if (!(conn instanceof TLSSocket)) return null;
  const { subject } = conn.getPeerCertificate() ?? {};
  if (subject === undefined) return null;
  const { CN: name = "" } = subject;
  if (conn.authorized) return { commonName: String(name) };
  const why = whyUntrusted[String(conn.authorizationError)] ?? "is not one that BROKER_TLS_CA signed";
  return { whyNot: `its certificate ${why}` };
}

/** By OpenSSL's code. */
const whyUntrusted: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "has expired",
  CERT_NOT_YET_VALID: "is not valid yet: check this host's clock",
};

export interface Rules {
  readonly requireAuth: boolean;
  /** BROKER_TENANT. */
  readonly tenant: string | undefined;
  /** Absent: credentials cannot be checked, and who gives some is refused. */
  readonly authenticate: Authenticate | undefined;
  readonly ownerOf: OwnerOf | undefined;
  readonly stillProves: StillProves | undefined;
}

export async function admit(shown: Shown, rules: Rules): Promise<Admission> {
  const { username, password, certificate } = shown;
  if (certificate !== null && "whyNot" in certificate) return refuse(5, certificate.whyNot);
  if (username === undefined && certificate === null)
    return rules.requireAuth ? refuse(5, "no credentials, and BROKER_REQUIRE_AUTH is set") : anonymous;
  const isToken = certificate === null && username !== undefined && isBareToken(username, password);
  if (isToken) return checked(() => byTokenAlone(username, rules));
  const device = deviceNamed(username ?? certificate?.commonName ?? "", rules.tenant);
  if (device === undefined)
    return refuse(4, notAName(username === undefined ? "common name" : "user name", rules));
  return checked(() =>
    certificate === null
      ? byToken(device, new TextDecoder().decode(password), rules)
      : byCertificate(device, certificate.commonName, rules),
  );
}

async function checked(check: () => Promise<Admission>): Promise<Admission> {
  try {
    return await check();
  } catch {
    return refuse(3, "credentials cannot be checked now");
  }
}

/** A user name alone that is of no device's form, as ThingsBoard's devices give their token. */
export function isBareToken(username: string, password: Uint8Array | undefined): boolean {
  return !username.includes("/") && (password?.length ?? 0) === 0;
}

async function byTokenAlone(token: string, { ownerOf }: Rules): Promise<Admission> {
  if (ownerOf === undefined) return refuse(3, "credentials cannot be checked here");
  const owner = await ownerOf(token);
  if (owner === "several")
    return refuse(4, "several devices have the token that it gave as user name: give each its own");
  if (owner === null)
    return refuse(4, "the user name without password is no token of a device that may speak");
  const { tenantId, deviceId } = owner;
  return { admitted: true, proof: { tenantId, deviceId, tokenHash: hashOf(token) } };
}

async function byToken(device: DeviceId, token: string, { authenticate }: Rules): Promise<Admission> {
  if (authenticate === undefined) return refuse(3, "credentials cannot be checked here");
  if (!(await authenticate(device.tenantId, device.deviceId, token))) return refuse(4, "wrong credentials");
  return { admitted: true, proof: { ...device, tokenHash: hashOf(token) } };
}

/** A user name beside the certificate must be the same device's; a password is not asked for. */
async function byCertificate(device: DeviceId, commonName: string, rules: Rules): Promise<Admission> {
  const named = deviceNamed(commonName, rules.tenant);
  if (named === undefined) return refuse(4, notAName("common name", rules));
  if (named.tenantId !== device.tenantId || named.deviceId !== device.deviceId)
    return refuse(4, "the user name is not the device that its certificate names");
  const proof = { ...device, tokenHash: null };
  if (rules.stillProves === undefined) return refuse(3, "credentials cannot be checked here");
  return (await rules.stillProves(proof))
    ? { admitted: true, proof }
    : refuse(4, "the device of its certificate is not registered, or revoked");
}

function deviceNamed(name: string, tenant: string | undefined): DeviceId | undefined {
  const levels = name.split("/");
  if (levels.length === 1 && tenant !== undefined) levels.unshift(tenant);
  const [tenantId = "", deviceId = ""] = levels;
  return levels.length === 2 && levels.every(isLevel) ? { tenantId, deviceId } : undefined;
}

function notAName(what: string, { tenant }: Rules): string {
  return `the ${what} is not <tenant>/<device>${tenant === undefined ? "" : ", nor a device of BROKER_TENANT"}`;
}

const anonymous: Admission = { admitted: true, proof: null };

const refuse = (returnCode: 3 | 4 | 5, why: string): Admission => ({ admitted: false, returnCode, why });

/** A topic to publish to, or a filter to subscribe to: wildcards cannot stand in the part that is compared. */
export const mayUse = (ownTopic: OwnTopic, topic: string): boolean =>
  ownTopic === null || topic.startsWith(ownTopic);
