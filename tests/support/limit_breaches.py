"""How the books of limits and freezing are broken, for the tests of their invariants."""

from tests.support.breaches import Breach

_LIMITED = "select subject_id from limits where lane = $1 and asset = 'EUR' and day <> '' order by 1 limit 1"
_FROZEN = "select id from parties where lane = $1 and status_before is not null order by id limit 1"

LIMIT_BREACHES = [
    *(
        Breach("limited_says_who_has_limits", by, _LIMITED, "limits", "{chosen}/EUR")
        for by in (
            "update tenants set limited = null where id = $1",
            "update tenants set limited = false where id = $1",
            "delete from tenants where id = $1",
        )
    ),
    *(
        Breach("limit_sums_fit", f"update limits set {by} where subject_id = $1", _LIMITED, "limits", "{chosen}/EUR")
        for by in ("day_units = month_units + 1", "month = '2001-01'", "day = ''")
    ),
    *(
        Breach("frozen_party_is_inactive", f"update parties set status = '{status}' where id = $1", _FROZEN, "parties")
        for status in ("active", "unverified")
    ),
]
