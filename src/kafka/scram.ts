/**
 * SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither says it.
 *
 * Rejected alternative: the client library's. It does not look at the server's proof, so whoever stands in the broker's place without
 * TLS would be believed; it reads the salt as text, which fails with brokers whose salt is random bytes; it puts a user name with a
 * comma into the message as it is; and it works as many rounds as the server likes.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

type Digest = "sha256" | "sha512";

/** Fewer make the password cheap to guess for who listens (RFC 7677 §4); more would be hours of work that a server asks for. */
const roundsMin = 4_096;
const roundsMax = 1_000_000;
/** "n": no channel binding. */
const header = "n,,";
const base64 = (bytes: string | Uint8Array) => Buffer.from(bytes).toString("base64");
const derive = promisify(pbkdf2);

/** @param send sends a message of the exchange. @throws if the login is refused, or the server does not prove that it knows the password */
export async function scramLogin(
  digest: Digest,
  { username, password }: { readonly username: string; readonly password: string },
  send: (message: string) => Promise<string>,
): Promise<void> {
  const hmac = (key: Uint8Array, text: string) => createHmac(digest, key).update(text).digest();
  const nonce = randomBytes(24).toString("base64url");
  const name = username.replaceAll("=", "=3D").replaceAll(",", "=2C");
  const first = `n=${name},r=${nonce}`;
  const challenge = await send(`${header}${first}`);
  const { salt, rounds, both } = challengeOf(challenge, nonce);
  const key = await derive(password, salt, rounds, digest === "sha256" ? 32 : 64, digest);
  const bare = `c=${base64(header)},r=${both}`;
  const exchange = `${first},${challenge},${bare}`;
  const clientKey = hmac(key, "Client Key");
  const mask = hmac(createHash(digest).update(clientKey).digest(), exchange);
  const proof = clientKey.map((byte, i) => byte ^ (mask[i] ?? 0));
  const final = partsOf(await send(`${bare},p=${base64(proof)}`));
  const wanted = hmac(hmac(key, "Server Key"), exchange);
  const given = Buffer.from(final.get("v") ?? "", "base64");
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    throw new Error(
      "SASL: the server does not prove that it knows the password: it is not the broker that it should be",
    );
}

function challengeOf(challenge: string, nonce: string) {
  const parts = partsOf(challenge);
  const both = parts.get("r") ?? "";
  const salt = Buffer.from(parts.get("s") ?? "", "base64");
  const rounds = Number(parts.get("i"));
  if (!both.startsWith(nonce) || both.length === nonce.length || salt.length === 0)
    throw new Error("SASL: the server's challenge is not one to our message");
  if (!Number.isInteger(rounds) || rounds < roundsMin || rounds > roundsMax)
    throw new Error(
      `SASL: the server asks for ${rounds} rounds of SCRAM, not for ${roundsMin} to ${roundsMax}`,
    );
  return { salt, rounds, both };
}

/** name=value, separated by commas; a value may hold "=". */
function partsOf(message: string): Map<string, string> {
  return new Map(message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]));
}
