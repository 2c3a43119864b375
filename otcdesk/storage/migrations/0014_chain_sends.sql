-- What the desk has sent to chains, or is about to: the memory of the rail that moves tokens there. It is written before
-- anything is sent, and no batch writes it.

-- Who sends on a network. Its row is locked while a nonce is given out; `chain_id` says which chain the name stands for.
create table chain_senders (
    network text not null,
    address text not null,
    chain_id bigint not null,
    primary key (network, address)
);

-- A send: what moves under a reference, once. Without a contract it is the chain's own coin: gas for a wallet, or nothing
-- at all where a nonce must be used up. `nonce` is the one under which it can be mined now. An outcome is the rail's last
-- word, and never changes. What was cancelled before it was recorded is here as well, so that it never will be, and has no
-- nonce; what was entered by hand need not have one.
create table chain_sends (
    lane integer not null,
    reference text not null,
    network text not null,
    purpose text not null check (purpose in ('transfer', 'gas', 'gap', 'cancelled')),
    sender text not null,
    recipient text not null,
    contract text,
    amount numeric(78, 0) not null check (amount >= 0),
    gas_limit bigint not null check (gas_limit >= 0),
    nonce bigint check (nonce >= 0),
    seen_block bigint not null check (seen_block >= 0),
    outcome text check (outcome in ('done', 'refused')),
    detail text not null default '',
    recorded_at timestamptz not null,
    ended_at timestamptz,
    primary key (lane, reference),
    constraint what_is_sent_has_a_nonce check (nonce is not null or outcome is not null),
    constraint what_is_cancelled_is_refused check (purpose <> 'cancelled' or (outcome is not null and outcome = 'refused')),
    constraint tokens_have_a_contract check ((contract is not null) = (purpose = 'transfer')),
    constraint an_outcome_has_a_time check ((outcome is null) = (ended_at is null))
);

-- A nonce has one send that can be mined. A refused one can be again only if the chain loses it, and then what uses the
-- nonce up is put beside it.
create unique index chain_sends_nonce on chain_sends (network, sender, nonce) where outcome is distinct from 'refused';
create index chain_sends_of_nonce on chain_sends (network, sender, nonce);
create index chain_sends_open on chain_sends (network, recipient) where outcome is null;
create index chain_sends_gas on chain_sends (network, recipient, recorded_at) where purpose = 'gas';

-- The signed transactions of a send, each as it is sent, byte for byte. Those that replace one another have one nonce, of
-- which the chain mines one transaction; another nonce is used only once it is proved that none of them can be mined.
create table chain_transactions (
    lane integer not null,
    reference text not null,
    number integer not null check (number > 0),
    network text not null,
    sender text not null,
    nonce bigint not null check (nonce >= 0),
    hash text not null,
    raw text not null,
    max_fee_wei numeric(78, 0) not null check (max_fee_wei > 0),
    priority_fee_wei numeric(78, 0) not null check (priority_fee_wei >= 0),
    signed_at timestamptz not null,
    primary key (lane, reference, number),
    unique (network, hash),
    foreign key (lane, reference) references chain_sends (lane, reference)
);

create index chain_transactions_nonce on chain_transactions (network, sender, nonce);

-- A last word is never taken back, whatever the program does.
create function keep_chain_outcome() returns trigger language plpgsql as $$
begin
    if old.outcome is not null then
        raise exception 'the send % has ended: %', old.reference, old.outcome using errcode = 'OT003';
    end if;
    return new;
end
$$;

create trigger chain_outcome_stays before update or delete on chain_sends
for each row execute function keep_chain_outcome();
