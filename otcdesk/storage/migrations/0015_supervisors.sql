-- Who acts for a tenant of resale: roles, supervisors of its branches, and the clients that call as one of them. These
-- tables are the edges' own, as credentials are.

create table roles (
    lane integer not null references lanes,
    id uuid not null,
    tenant_id uuid not null,
    name text not null,
    priority integer not null,
    permissions text[] not null,
    primary key (lane, id)
);

create table supervisors (
    lane integer not null references lanes,
    id uuid not null,
    tenant_id uuid not null,
    branch_id uuid not null,
    role_id uuid not null,
    email text not null,
    enabled boolean not null,
    primary key (lane, id),
    foreign key (lane, role_id) references roles
);

-- The scope of a client that calls as a supervisor says so; any other calls for itself.
alter table credentials add column supervisor_id uuid;
alter table credentials add foreign key (lane, supervisor_id) references supervisors;
alter table credentials add constraint calls_as_a_supervisor check (
    (supervisor_id is not null) = ('deals' = any (scopes)) and (supervisor_id is null or kind = 'client'));
