/** The index of the look-up is made of a table in use, and takes the time that it takes, whatever limits the role has. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { openPostgres } from "../../../src/store/postgres/postgres-client.ts";
import { createPostgresEvents } from "../../../src/store/postgres/postgres-events.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();

test.skipIf(unavailable !== "")(
  `the index waits for who writes, in spite of the role's lock_timeout and read-only transactions ${unavailable}`,
  async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const writer = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
    const impatient = openPostgres({
      url: `${url}?lock_timeout=100&statement_timeout=5000&default_transaction_read_only=on`,
      poolMax: 2,
      timeoutMs: 20_000,
    });
    const events = createPostgresEvents(impatient);
    expect(await events.indexed()).toBeUndefined();
    const made = await writer.transaction("writing", async (tx) => {
      await tx`insert into raw_events (topic, payload) values ('t', '{}')`;
      const making = events.createIndex().catch(String);
      await tx`select pg_sleep(1)`;
      return { making };
    });
    expect(await made.making).toEqual(["created index raw_events_device_ingested_idx"]);
    expect(await events.indexed()).toBeDefined();
    await Promise.all([writer.close(), impatient.close()]);
  },
);

test.skipIf(unavailable !== "")(
  `a table that is divided into partitions gets it, too, and once, also where the server quotes all names ${unavailable}`,
  async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const db = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
    const events = createPostgresEvents(db);
    expect(await events.indexed()).toBeUndefined();
    await db.transaction("dividing", (tx) =>
      tx.unsafe(`alter table raw_events rename to raw_old;
      create table raw_events (like raw_old including defaults) partition by range (ingested_at);
      create table raw_rest partition of raw_events default`),
    );
    expect(await events.createIndex()).toEqual(["created index raw_events_device_ingested_idx"]);
    const quoting = openPostgres({ url: `${url}?quote_all_identifiers=on`, poolMax: 2, timeoutMs: 20_000 });
    for (const there of [db, quoting]) expect(await createPostgresEvents(there).createIndex()).toEqual([]);
    await quoting.close();
    await db.close();
  },
);
