/** SCRAM against the server's side of RFC 5802, with what Kafka's own broker never sends (security.test.ts has a real one). */
import { expect, test } from "bun:test";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { scramLogin } from "../../src/kafka/scram.ts";

/** The salt is no text. */
const salt = Buffer.from([0, 255, 254, 128, 200, 7, 44, 61]);
const user = { username: "hall=7,line", password: "pässword" };

interface Lies {
  readonly rounds?: number;
  readonly nonce?: string;
  readonly signature?: string;
}

/** A server that knows the password. Throws as a broker refuses. */
function server(digest: "sha256" | "sha512", lies: Lies = {}) {
  const hmac = (key: Uint8Array, text: string) => createHmac(digest, key).update(text).digest();
  const rounds = lies.rounds ?? 4_096;
  let first = "";
  let challenge = "";
  return (message: string): Promise<string> => {
    if (first === "") {
      expect(message).toStartWith("n,,n=hall=3D7=2Cline,r=");
      first = message.slice(3);
      const nonce = lies.nonce ?? `${first.split(",r=")[1] ?? ""}server`;
      challenge = `r=${nonce},s=${salt.toString("base64")},i=${rounds}`;
      return Promise.resolve(challenge);
    }
    const [bare = "", proof = ""] = message.split(",p=");
    const salted = pbkdf2Sync(user.password, salt, rounds, digest === "sha256" ? 32 : 64, digest);
    const exchange = `${first},${challenge},${bare}`;
    const stored = createHash(digest).update(hmac(salted, "Client Key")).digest();
    const mask = hmac(stored, exchange);
    const key = Buffer.from(proof, "base64").map((byte, i) => byte ^ (mask[i] ?? 0));
    if (!createHash(digest).update(key).digest().equals(stored))
      return Promise.reject(new Error("SASL_AUTHENTICATION_FAILED"));
    const signature = hmac(hmac(salted, "Server Key"), exchange).toString("base64");
    return Promise.resolve(`v=${lies.signature ?? signature}`);
  };
}

test.each(["sha256", "sha512"] as const)(
  "%s: salt of any bytes, a name with a comma, both sides proven",
  async (digest) => {
    await scramLogin(digest, user, server(digest));
    const wrong = scramLogin(digest, { ...user, password: "wrong" }, server(digest));
    expect(await wrong.catch(String)).toContain("SASL_AUTHENTICATION_FAILED");
  },
);

test.each([
  [
    "a signature of another password",
    { signature: Buffer.alloc(32, 1).toString("base64") },
    "does not prove",
  ],
  ["no signature", { signature: "" }, "does not prove"],
  ["a nonce of its own", { nonce: "mine" }, "challenge"],
  ["few rounds", { rounds: 1 }, "asks for 1 rounds"],
  ["rounds without end", { rounds: 4_000_000_000 }, "asks for 4000000000 rounds"],
  ["no number of rounds", { rounds: Number.NaN }, "asks for NaN rounds"],
])("a server with %s is not logged in to", async (_, lies, words) => {
  const failed = await scramLogin("sha256", user, server("sha256", lies)).catch(String);
  expect(failed).toStartWith("Error: SASL");
  expect(failed).toContain(words);
});
