-- Keys by which tenants of the payout product call. One with a public key (PEM) signs every request.

alter table credentials drop constraint credentials_kind_check;
alter table credentials add constraint credentials_kind_check
    check (kind in ('api_key', 'operator', 'client', 'request_key'));

alter table credentials add column public_key text;
alter table credentials add constraint only_requests_are_signed check (public_key is null or kind = 'request_key');
