-- Secrets that must be read again, as an API key of somebody else's service, sealed under a key outside the database.
-- Which key is told by its fingerprint; what is sealed is bound to the row by its id, purpose and owner.

create table sealed_secrets (
    id uuid primary key,
    purpose text not null,
    owner text not null,
    sealed bytea not null,
    key_id text not null,
    made_at timestamptz not null,
    unique (purpose, owner)
);
