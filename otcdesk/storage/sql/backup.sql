-- What `otcdesk backup` writes down about a database, and what `otcdesk restore` asks and does before it fills one.

-- name: snapshot
-- What pg_dump is told to read at, so that everything that is written down is of one moment.
select pg_export_snapshot()

-- name: server
-- The server's version, and the schema of the desk's tables.
select current_setting('server_version') as version, current_setting('server_version_num')::integer / 10000 as major,
    current_schema()::text as schema, current_database()::text as database

-- name: tables
-- The tables of the desk's schema; those of extensions are not the desk's.
select c.relname as name, format('%I', c.relname) as quoted
from pg_class as c
where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    and c.relname <> 'unfinished_restore'
    and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'e')
order by c.relname

-- name: count
select count(*) from {table}

-- name: sealing_keys
-- With which keys the secrets are sealed.
select distinct key_id from sealed_secrets order by key_id

-- name: has_secrets
-- Whether the schema has the table of secrets; one that was never brought up to date may not.
select to_regclass('sealed_secrets') is not null

-- name: is_desk
-- Whether the desk's schema was ever made here.
select to_regclass('batches') is not null and to_regclass('schema_migrations') is not null

-- name: is_marked
-- Whether a restore into this database began and did not end.
select to_regclass('unfinished_restore') is not null

-- name: try_turn
-- Keep migrations and other restores out for as long as the connection lasts; false if somebody else does.
select pg_try_advisory_lock($1)

-- name: mark
create table if not exists unfinished_restore (begun_at timestamptz not null default now())

-- name: unmark
drop table if exists unfinished_restore

-- name: contents
-- What is in the desk's schema, except the mark of a restore and what extensions brought: relations and functions.
select case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view'
    when 'f' then 'foreign table' else 'table' end as kind, format('%I', c.relname) as name
from pg_class as c
where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    and c.relname <> 'unfinished_restore'
    and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype in ('e', 'a', 'i'))
union all
select 'function', p.oid::regprocedure::text
from pg_proc as p
where p.pronamespace = current_schema()::regnamespace and p.prokind = 'f'
    and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
order by kind desc, name

-- name: drop
-- Clear away one thing that a broken-off restore left; it may have gone with another one.
drop {kind} if exists {name} cascade

-- name: others
-- How many others are connected to a database.
select count(*) from pg_stat_activity
where datname = $1 and pid <> pg_backend_pid() and backend_type = 'client backend'

-- name: create_database
create database {name}

-- name: drop_database
-- Drop what a restore that was broken off left; nobody but it can be connected.
drop database if exists {name} with (force)

-- name: rename_database
alter database {name} rename to {other}

-- name: databases
-- The databases of the server that a person made.
select datname::text as name from pg_database where not datistemplate and datname <> 'postgres' order by datname
