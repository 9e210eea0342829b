/**
 * The tables in PostgreSQL, as text. What existing deployments have keeps its name, columns and types; only
 * sluice_position, the two overlap columns and the triggers are ours.
 */

/** What a gateway listens to. */
export const registryChannel = "sluice_registry";

/** A rotated-away token's hash and how long it stays good. */
export const overlapColumns: Readonly<Record<string, string>> = {
  previous_token_hash: "text",
  previous_token_until: "timestamptz",
};

/** Column → its index, for devices that show their token alone. */
export const tokenIndexes = {
  provision_token_hash: `create index device_registry_token_idx on device_registry (provision_token_hash)
    where provision_token_hash is not null`,
  previous_token_hash: `create index device_registry_previous_token_idx on device_registry (previous_token_hash)
    where previous_token_hash is not null`,
} as const;

/** Table → statements that make it. */
export const tables: Readonly<Record<string, readonly string[]>> = {
  device_registry: [
    `create table device_registry (
       tenant_id text not null, device_id text not null, site_id text not null,
       status text not null default 'ACTIVE', provision_token_hash text,
       provisioned_at timestamptz not null default now(), fw_version text,
       metadata jsonb not null default '{}', previous_token_hash text, previous_token_until timestamptz,
       primary key (tenant_id, device_id))`,
    ...Object.values(tokenIndexes),
  ],
  raw_events: [
    `create table raw_events (
       id bigserial primary key, ingested_at timestamptz not null default now(), event_ts timestamptz,
       topic text not null, tenant_id text, site_id text, device_id text, msg_type text,
       payload jsonb not null, accepted boolean not null default true)`,
    "create index raw_events_accepted_ingested_idx on raw_events (accepted, ingested_at desc)",
  ],
  quarantine_events: [
    `create table quarantine_events (
       id bigserial primary key, ingested_at timestamptz not null default now(), event_ts timestamptz,
       topic text not null, tenant_id text, site_id text, device_id text, msg_type text,
       reason text not null, payload jsonb not null)`,
    "create index quarantine_events_ingested_idx on quarantine_events (ingested_at desc)",
  ],
  quarantine_counters_minute: [
    `create table quarantine_counters_minute (
       bucket_minute timestamptz not null, tenant_id text not null, reason text not null,
       cnt bigint not null default 0, primary key (bucket_minute, tenant_id, reason))`,
    "create index quarantine_counters_tenant_idx on quarantine_counters_minute (tenant_id, bucket_minute desc)",
  ],
  app_settings: [
    `create table app_settings (
       key text primary key, value text not null, updated_at timestamptz not null default now())`,
  ],
  // One row per epoch (a start of a gateway on its spool): everything up to and including seq is in these tables.
  sluice_position: [
    `create table sluice_position (
       epoch text primary key, gateway_id text not null, seq bigint not null,
       delivered bigint not null, ignored bigint not null, refused bigint not null, skipped bigint not null,
       updated_at timestamptz not null default now())`,
  ],
};

/** The columns that a look-up reads. */
const judged = "site_id, status, provision_token_hash, previous_token_hash, previous_token_until";

/**
 * A statement sends one notification, however many rows it changed: of the devices if they are few, else of their tenant, else of
 * all. A change of columns that no look-up reads (metadata, firmware) sends none. NOTIFY takes less than 8,000 bytes.
 */
export const triggerBody = `
declare
  devices text[]; tenants text[]; message text;
begin
  if tg_table_name = 'app_settings' then
    perform pg_notify('${registryChannel}', '{"settings":true}');
    return null;
  elsif tg_op = 'INSERT' then
    select array_agg(json_build_array(tenant_id, device_id)::text), array_agg(distinct tenant_id)
      into devices, tenants from new_rows;
  elsif tg_op = 'DELETE' then
    select array_agg(json_build_array(tenant_id, device_id)::text), array_agg(distinct tenant_id)
      into devices, tenants from old_rows;
  elsif tg_op = 'UPDATE' then
    select array_agg(distinct json_build_array(tenant_id, device_id)::text), array_agg(distinct tenant_id)
      into devices, tenants from (
        select tenant_id, device_id, ${judged} from new_rows
        except select tenant_id, device_id, ${judged} from old_rows
        union all
        (select tenant_id, device_id, ${judged} from old_rows
         except select tenant_id, device_id, ${judged} from new_rows)) as changed;
  end if;
  if tg_op = 'TRUNCATE' then
    message := '{"all":true}';
  elsif devices is null then
    return null;
  elsif cardinality(devices) <= 64 then
    message := '{"devices":[' || array_to_string(devices, ',') || ']}';
  elsif cardinality(tenants) = 1 then
    message := json_build_object('tenant', tenants[1])::text;
  end if;
  if message is null or octet_length(message) > 7900 then
    message := '{"all":true}';
  end if;
  perform pg_notify('${registryChannel}', message);
  return null;
end `;

export const triggerFunction = `create or replace function sluice_registry_changed() returns trigger language plpgsql as $body$${triggerBody}$body$`;

const onDevices = [
  { name: "sluice_device_insert", event: "insert", rows: "referencing new table as new_rows" },
  {
    name: "sluice_device_update",
    event: "update",
    rows: "referencing old table as old_rows new table as new_rows",
  },
  { name: "sluice_device_delete", event: "delete", rows: "referencing old table as old_rows" },
  { name: "sluice_device_truncate", event: "truncate", rows: "" },
].map((trigger) => ({ ...trigger, table: "device_registry" }));

export const triggers = [
  ...onDevices,
  {
    name: "sluice_settings",
    table: "app_settings",
    event: "insert or update or delete or truncate",
    rows: "",
  },
];

/**
 * The partitions of device_registry, at any depth: what a statement changes there by name fires no trigger of their parent.
 * PostgreSQL 11 refuses `using (oid)`, for there it is no column like others.
 */
export const partitions = `(with recursive part as (
    select inhrelid as oid from pg_inherits where inhparent = to_regclass('device_registry')
    union select i.inhrelid from pg_inherits i join part on i.inhparent = part.oid)
  select c.oid::regclass from part join pg_class c on c.oid = part.oid where c.relkind in ('r', 'p'))`;

/** Each looked for once: of six times the server thinks that they take long, and compiles the query (jit) for seconds, each second. */
const watched = `with partitions(oid) as ${partitions},
  watched(oid) as (select to_regclass('device_registry') union all select to_regclass('app_settings') union all select oid from partitions)`;

/** Asks why changes may go untold; null: each is told. What a logical replica is sent fires no trigger of a statement. */
export const whyUntold = `${watched} select case
    when exists (select from pg_subscription_rel where srrelid in (select oid from watched))
      then 'a logical subscription fills device_registry or app_settings, which tells no change'
    when exists (select from pg_namespace where nspname = 'pglogical')
        and exists (select from pg_replication_origin where roname like 'pgl\\_%')
      then 'a subscription of pglogical may fill device_registry or app_settings, which tells no change'
    when current_setting('session_replication_role') = 'replica'
      then 'session_replication_role is replica for the role of DATABASE_URL, so what it changes is not told: reset that'
    when exists (select from pg_class where oid in (to_regclass('device_registry'), to_regclass('app_settings')) and relkind not in ('r', 'p'))
      then 'device_registry or app_settings is a view or a foreign table, which tells no change'
    when (select count(*) from pg_trigger
        where tgname like 'sluice\\_%' and tgenabled in ('O', 'A') and tgrelid in (select oid from watched))
        < ${triggers.length} + ${onDevices.length} * (select count(*) from partitions)
      then 'device_registry (or a partition of it) and app_settings have no triggers that tell changes: run \`sluice migrate\`' end`;

/** Are there triggers that do not fire for sessions that set session_replication_role, as after `alter table … enable trigger all`? */
export const missesReplicas = `${watched} select exists (select from pg_trigger
    where tgname like 'sluice\\_%' and tgenabled = 'O' and tgrelid in (select oid from watched))`;

/**
 * Asks, within whyUntold, what the registry consists of, and of which transactions that is. If it has changed, so may have devices, untold: a partition was
 * detached or dropped, another table swapped in, a column written anew, or the triggers were off for a moment (`pg_restore --disable-triggers`).
 */
export const madeOf = `(select md5(string_agg(part, ' ' order by part)) from (
    select concat_ws(' ', tgrelid, oid, xmin) as part from pg_trigger where tgname like 'sluice\\_%' and tgrelid in (select oid from watched)
    union all select concat_ws(' ', oid, xmin) from pg_class where oid in (select oid from watched)
    union all select concat_ws(' ', inhrelid, xmin) from pg_inherits where inhrelid in (select oid from partitions)) as parts)`;
