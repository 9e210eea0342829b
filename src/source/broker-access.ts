/**
 * Who may do what at the embedded broker.
 *
 * A device proves itself at CONNECT with the user name <tenant>/<device> and its token as password; then it may publish
 * and subscribe under its own topic only, and its client id cannot be taken by another device. Who gives no credentials is
 * anonymous, which BROKER_REQUIRE_AUTH forbids; what an anonymous device publishes, the judge still checks by the token in
 * the payload. Wrong credentials are refused either way. The token is passed on and kept nowhere.
 */

/** Does this token belong to this device? Rejects where the registry cannot tell now. */
export type Authenticate = (tenantId: string, deviceId: string, token: string) => Promise<boolean>;

/** The topic under which a device may publish, with a slash at the end; null: anonymous. */
export type OwnTopic = string | null;

export type Admission =
  | { readonly admitted: true; readonly ownTopic: OwnTopic }
  /** Return code of MQTT 3.1.1 §3.2.2.3. */
  | { readonly admitted: false; readonly returnCode: 3 | 4 | 5; readonly why: string };

export async function admit(
  username: string | undefined,
  password: Uint8Array | undefined,
  requireAuth: boolean,
  authenticate: Authenticate | undefined,
): Promise<Admission> {
  if (username === undefined) {
    return requireAuth ? refuse(5, "no credentials, and BROKER_REQUIRE_AUTH is set") : ANONYMOUS;
  }
  const parts = /^([^/+#\0]+)\/([^/+#\0]+)$/.exec(username);
  const [, tenantId, deviceId] = parts ?? [];
  if (tenantId === undefined || deviceId === undefined)
    return refuse(4, "the user name is not <tenant>/<device>");
  if (authenticate === undefined) return refuse(3, "credentials cannot be checked here");
  try {
    const token = new TextDecoder().decode(password);
    if (!(await authenticate(tenantId, deviceId, token))) return refuse(4, "wrong credentials");
  } catch {
    return refuse(3, "credentials cannot be checked now");
  }
  return { admitted: true, ownTopic: `tenant/${tenantId}/device/${deviceId}/` };
}

const ANONYMOUS: Admission = { admitted: true, ownTopic: null };

const refuse = (returnCode: 3 | 4 | 5, why: string): Admission => ({ admitted: false, returnCode, why });

/** A topic to publish to, or a filter to subscribe to: wildcards cannot stand in the part that is compared. */
export const mayUse = (ownTopic: OwnTopic, topic: string): boolean =>
  ownTopic === null || topic.startsWith(ownTopic);
