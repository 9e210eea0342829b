/**
 * Who may do what at the embedded broker.
 *
 * A device proves itself at CONNECT with the user name <tenant>/<device> and its token as password; then it may publish
 * and subscribe under its own topic only. Who gives no credentials is anonymous, which BROKER_REQUIRE_AUTH forbids: he may
 * publish, what the judge checks by the token in the payload, and reads nothing. Wrong credentials are refused either way. The token
 * is passed on and kept nowhere; its hash is, as long as the connection lasts.
 */
import { hashOf } from "../core/token.ts";
import { isLevel } from "../core/topic-level.ts";
import type { Authenticate, Proof } from "../core/source.ts";

/** The topic under which a device may publish, with a slash at the end; null: anonymous. */
export type OwnTopic = string | null;

export type Admission =
  | { readonly admitted: true; readonly proof: Proof | null }
  /** Return code of MQTT 3.1.1 §3.2.2.3. */
  | { readonly admitted: false; readonly returnCode: 3 | 4 | 5; readonly why: string };

export async function admit(
  username: string | undefined,
  password: Uint8Array | undefined,
  requireAuth: boolean,
  authenticate: Authenticate | undefined,
): Promise<Admission> {
  if (username === undefined) {
    return requireAuth ? refuse(5, "no credentials, and BROKER_REQUIRE_AUTH is set") : anonymous;
  }
  const levels = username.split("/");
  const [tenantId = "", deviceId = ""] = levels;
  if (levels.length !== 2 || !levels.every(isLevel))
    return refuse(4, "the user name is not <tenant>/<device>");
  if (authenticate === undefined) return refuse(3, "credentials cannot be checked here");
  const token = new TextDecoder().decode(password);
  try {
    if (!(await authenticate(tenantId, deviceId, token))) return refuse(4, "wrong credentials");
  } catch {
    return refuse(3, "credentials cannot be checked now");
  }
  const tokenHash = hashOf(token);
  return { admitted: true, proof: { tenantId, deviceId, tokenHash } };
}

const anonymous: Admission = { admitted: true, proof: null };

const refuse = (returnCode: 3 | 4 | 5, why: string): Admission => ({ admitted: false, returnCode, why });

/** A topic to publish to, or a filter to subscribe to: wildcards cannot stand in the part that is compared. */
export const mayUse = (ownTopic: OwnTopic, topic: string): boolean =>
  ownTopic === null || topic.startsWith(ownTopic);
