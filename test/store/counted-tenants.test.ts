import { describe, expect, test } from "bun:test";
import { CountedTenants, strangerRowsMax } from "../../src/store/counted-tenants.ts";
import { countRejects } from "../../src/store/rows.ts";
import { event, reject } from "../contract/entries.ts";

const at = Date.UTC(2026, 10, 21);
const strangers = (count: number, receivedMs = at, reason = "UNREGISTERED_DEVICE") =>
  Array.from({ length: count }, (_, n) => reject(n, { tenantId: `made-up-${n}`, reason, receivedMs }));
const summed = (counts: ReturnType<typeof countRejects>) => counts.reduce((sum, { cnt }) => sum + cnt, 0);

describe("rejects of made-up tenants", () => {
  test("are a few rows per minute, however many tenants there are, and every reject is counted", () => {
    const tenants = new CountedTenants();
    const rows = new Set<string>();
    for (let batch = 0; batch < 20; batch++) {
      const entries = Array.from({ length: 5_000 }, (_, n) =>
        reject(n, {
          tenantId: `made-up-${batch}-${n}`,
          reason: n % 2 ? "UNREGISTERED_DEVICE" : "MALFORMED_JSON",
          receivedMs: at,
        }),
      );
      const counts = countRejects(entries, tenants);
      expect(summed(counts)).toBe(5_000);
      for (const { tenantId, reason } of counts) rows.add(`${tenantId} ${reason}`);
    }
    // And one per reason, which sums up the others.
    expect(rows.size).toBe(strangerRowsMax + 2);
  });

  test("leave an accepted tenant its own rows, even in the batch in which it is first accepted", () => {
    const tenants = new CountedTenants();
    const counts = countRejects(
      [...strangers(100), reject(1, { tenantId: "acme", receivedMs: at }), event(2, { tenantId: "acme" })],
      tenants,
    );
    expect(counts.find(({ tenantId }) => tenantId === "acme")?.cnt).toBe(1);
    expect(counts.find(({ tenantId }) => tenantId === "unknown")?.cnt).toBe(100 - strangerRowsMax);
  });

  test("get their few rows again in each minute, whatever the order of the minutes", () => {
    const tenants = new CountedTenants();
    const named = (minute: number) =>
      countRejects(strangers(100, at + minute * 60_000), tenants).filter(
        ({ tenantId }) => tenantId !== "unknown",
      ).length;
    expect([0, 1, 0, 1, 2].map(named)).toEqual(Array<number>(5).fill(strangerRowsMax));
    const more = countRejects(strangers(50, at, "MALFORMED_JSON"), tenants);
    expect(more.map(({ tenantId, cnt }) => [tenantId, cnt])).toEqual([["unknown", 50]]);
  });
});

describe("what is remembered is bounded", () => {
  const full = (tenants: CountedTenants, minute: number) => {
    for (let n = 0; n < strangerRowsMax; n++) tenants.nameFor(`made-up-${n}`, minute, "BAD_SEQ");
    return tenants;
  };

  test("of more than ten thousand tenants those of the last are", () => {
    const tenants = full(new CountedTenants(), 0);
    for (let n = 0; n <= 10_000; n++) tenants.heard(`t${n}`);
    expect(["t0", "t10000"].map((name) => tenants.nameFor(name, 0, "BAD_SEQ"))).toEqual([
      "unknown",
      "t10000",
    ]);
  });

  test("of more than sixty minutes the last", () => {
    const tenants = full(new CountedTenants(), 0);
    for (let minute = 1; minute < 60; minute++) full(tenants, minute);
    expect(tenants.nameFor("late", 0, "BAD_SEQ")).toBe("unknown");
    full(tenants, 60);
    expect(tenants.nameFor("late", 0, "BAD_SEQ")).toBe("late");
  });
});
