-- name: closed
-- What is closed for maintenance: pairs of lane and dialect, and the dialects that no live lane has open.
select json_build_object(
    'somewhere', coalesce((
        select json_agg(json_build_array(m.lane, m.dialect))
        from maintenance as m
        join lanes as l on l.lane = m.lane and l.closed_at is null
    ), '[]'),
    'everywhere', coalesce((
        select json_agg(m.dialect) from (select distinct dialect from maintenance) as m
        where exists (select from lanes as l where l.kind = 'live' and l.closed_at is null)
            and not exists (
                select from lanes as l
                where l.kind = 'live' and l.closed_at is null
                    and not exists (select from maintenance as k where k.lane = l.lane and k.dialect = m.dialect)
            )
    ), '[]')
)

-- name: of_lane
select row_to_json(m) from maintenance as m where m.lane = $1 order by m.dialect

-- name: close
-- Close a dialect; one that is closed already gets the new reason and stays closed since it was.
insert into maintenance (lane, dialect, since, reason) values ($1, $2, $3, $4)
on conflict (lane, dialect) do update set reason = excluded.reason
returning since

-- name: reopen
delete from maintenance where lane = $1 and dialect = $2
