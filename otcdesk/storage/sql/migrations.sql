-- name: create_table
create table if not exists schema_migrations (name text primary key, applied_at timestamptz not null default now())

-- name: applied
select name from schema_migrations

-- name: record
insert into schema_migrations (name) values ($1)
