/**
 * A SHA-256 as eight numbers, as the hash of a token is cached: to compare it takes no call, and little of the processor's cache. As 64
 * digits of text, read into bytes for each message, it was 4 % of what a message cost at 100,000 devices.
 */

/** A digest that is presented, and is good until the next one is: the judge is synchronous, and no message should cost an allocation here. */
export class Presented {
  readonly #bytes = Buffer.alloc(32);
  readonly words = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset, 8);

  /** Of a token. */
  hash(token: string): void {
    Bun.SHA256.hash(token, this.#bytes);
  }

  /** Reads hex in lower or upper case. @returns whether it is 64 hex digits */
  read(hex: string): boolean {
    return hex.length === 64 && this.#bytes.write(hex, "hex") === 32;
  }

  hex(): string {
    return this.#bytes.toString("hex");
  }
}

const scratch = new Presented();

export class Digest {
  private readonly a: number;
  private readonly b: number;
  private readonly c: number;
  private readonly d: number;
  private readonly e: number;
  private readonly f: number;
  private readonly g: number;
  private readonly h: number;

  private constructor([a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0]: Int32Array) {
    [this.a, this.b, this.c, this.d] = [a, b, c, d];
    [this.e, this.f, this.g, this.h] = [e, f, g, h];
  }

  /** undefined: these are not 64 hex digits. */
  static read(hex: string): Digest | undefined {
    return scratch.read(hex) ? new Digest(scratch.words) : undefined;
  }

  hex(): string {
    scratch.words.set([this.a, this.b, this.c, this.d, this.e, this.f, this.g, this.h]);
    return scratch.hex();
  }

  /** In constant time: all bits are looked at, wherever they differ. */
  is({ words }: Presented): boolean {
    const differs =
      (this.a ^ (words[0] ?? 0)) |
      (this.b ^ (words[1] ?? 0)) |
      (this.c ^ (words[2] ?? 0)) |
      (this.d ^ (words[3] ?? 0)) |
      (this.e ^ (words[4] ?? 0)) |
      (this.f ^ (words[5] ?? 0)) |
      (this.g ^ (words[6] ?? 0)) |
      (this.h ^ (words[7] ?? 0));
    return differs === 0;
  }
}
