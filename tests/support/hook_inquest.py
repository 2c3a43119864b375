"""The inquest into callbacks after kills: what is in the books has arrived, in its order, and nothing else has."""

import hashlib
import hmac
import json
import time
from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple

from tests.support.desk import A, B
from tests.support.hook_site import Endpoint, HookSite, Kill, Window
from tests.support.receiver import Received

_OWNERS = {"KA": A, "KB": B}

#: The contract's words for what an order is, section 4.1.
_STATUSES = {
    **{state: state for state in ("quoted", "requoted", "debit_pending", "pending_approval", "completed")},
    **{state: state for state in ("cancelled", "rejected", "expired", "failed")},
    **dict.fromkeys(("collecting", "paying", "returning"), "pending_approval"),
}
#: How far a message's time may be from when it was seen, seconds.
_SKEW_SECONDS = 300


class Due(NamedTuple):
    """What a tenant has to be told of one event in the books."""

    order_id: str
    version: int
    event_type: str
    status: str
    rate: Decimal


class HookInquest:
    """All that is asked of one site after its kills."""

    def __init__(self, site: HookSite) -> None:
        self.site = site
        self.kills: Counter[Kill] = Counter()
        self.claims_left: Counter[Window] = Counter()
        self.sent_twice = 0

    async def strike(self, kill: Kill) -> None:
        """Carry out a kill, see that it fell where it was to fall, and begin anew."""
        before = await self.site.position()
        await self.site.strike(kill)
        self.kills[kill] += 1
        await self._assert_struck(kill.window, before)
        await self.site.begin_anew()

    async def _assert_struck(self, window: Window, position_before: int) -> None:
        """Assert by the books that the kill fell into the window."""
        site = self.site
        arrived = {one.id: Counter(body["id"] for body in one.arrived()) for one in site.endpoints}
        claimed = [row for row in await site.deliveries() if row.is_claimed]
        self.claims_left[window] += len(claimed)
        assert all(row.state == "pending" for row in claimed)
        sent = [arrived[row.subscription_id][row.event_id] > row.attempts for row in claimed]
        position = await site.position()
        untold = await site.ask("select count(*) from events where lane = $1 and seq > $2", site.lane, position)
        match window:
            case Window.TELLING:
                assert untold, "everything was told"
            case Window.TOLD:
                assert position > position_before, "nothing was told"
            case Window.CLAIMED:
                assert not all(sent), "everything that was claimed was sent"
            case Window.SENDING:
                (trapped,) = [(one.id, one.trapped) for one in site.endpoints if one.trapped is not None]
                event_id = json.loads(trapped[1].body)["id"]
                assert (trapped[0], event_id) in {(row.subscription_id, row.event_id) for row in claimed}
                for endpoint in site.endpoints:
                    endpoint.trapped = None
            case Window.ANSWERED:
                assert any(sent), "nothing had been answered"
            case _:
                pass

    async def close(self) -> None:
        """See everything through, and compare what arrived with what is in the books."""
        await self.site.all_told()
        due = {owner: await self._due(owner) for owner in _OWNERS.values()}
        assert all(due.values())
        bodies: dict[str, set[bytes]] = {}
        for endpoint in self.site.endpoints:
            requests = list(endpoint.receiver.requests)
            for request in requests:
                assert_signed(endpoint, request)
                bodies.setdefault(json.loads(request.body)["id"], set()).add(request.body)
            await self._assert_told(endpoint, due[_OWNERS[endpoint.key]])
            self.sent_twice += len(requests) - len(set(endpoint.receiver.bodies))
        assert {len(each) for each in bodies.values()} == {1}, "one event was told in different bytes"
        assert self.sent_twice >= self.kills.total() // 4, "kills in the middle of sending make nobody send again"
        errors = [
            line for line in self.site.desk.log().splitlines() if "Traceback" in line or '"level":"error"' in line
        ]
        assert not errors

    async def _due(self, owner_id: Any) -> dict[str, Due]:
        """Return by event id what the contract's section 6.2 has a tenant told of its orders since it subscribed."""
        rows = await self.site.rows(
            """select e.order_id, e.order_version, e.name, e.state, e.rate, e.seq from events as e
            where e.lane = $1 and e.tenant_id = $2 order by e.order_id, e.order_version""",
            self.site.lane,
            owner_id,
        )
        found: dict[str, Due] = {}
        seen: dict[Any, str] = {}
        for order_id, version, name, state, rate, seq in rows:
            status = _STATUSES[state]
            is_new = name == "conversion.confirm" and order_id not in seen
            if is_new or (order_id in seen and status != seen[order_id]):
                assert seq > self.site.began_after
                event_type = "otc_exchange.created" if is_new else "otc_exchange.status_updated"
                found[f"evt_{order_id.hex}{version:x}"] = Due(str(order_id), version, event_type, status, rate)
            if is_new or order_id in seen:
                seen[order_id] = status
        return found

    async def _assert_told(self, endpoint: Endpoint, due: dict[str, Due]) -> None:
        """Assert that all that is due has arrived, nothing else, and each order's messages first in their order."""
        wanted = {event_id for event_id, one in due.items() if one.event_type in endpoint.event_types}
        arrived = endpoint.arrived()
        first = list(dict.fromkeys(body["id"] for body in arrived))
        assert set(first) <= wanted, f"told, and not in the books: {set(first) - wanted}"
        assert wanted <= set(first), f"in the books, and not told: {wanted - set(first)}"
        for body in arrived:
            one, data = due[body["id"]], body["data"]
            told = Due(data["id"], one.version, body["type"], data["status"], Decimal(data["rate"]))
            assert told == one, (told, one)
        excused = await self._failed_unseen(endpoint)
        newest: dict[str, int] = {}
        for one in (due[event_id] for event_id in first):
            in_order = one.version > newest.get(one.order_id, 0)
            assert in_order or (one.order_id, one.version) in excused, f"{one} came after a newer one"
            newest[one.order_id] = max(one.version, newest.get(one.order_id, 0))

    async def _failed_unseen(self, endpoint: Endpoint) -> set[tuple[str, int]]:
        """Return whose first attempt failed on the way: such a one holds nobody up."""
        rows = await self.site.rows(
            """select d.subject_id, d.subject_version from deliveries as d
            join delivery_attempts as a on a.delivery_id = d.id and a.number = 1
            where d.subscription_id = $1 and a.response_status is null""",
            endpoint.id,
        )
        return {(str(subject_id), version) for subject_id, version in rows}

    def told(self) -> dict[str, Any]:
        """Return what there was, for those who read the tests' output."""
        return {
            "kills": self.kills.total(),
            "messages": [len(one.receiver.requests) for one in self.site.endpoints],
            "sent again": self.sent_twice,
            "claims left": {window.name: number for window, number in self.claims_left.items()},
        }


def assert_signed(endpoint: Endpoint, request: Received) -> None:
    """Assert the three headers of the contract's section 6.1, by the standard library alone."""
    timestamp = request.headers["x-webhook-timestamp"]
    expected = hmac.new(endpoint.secret.encode(), timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-webhook-signature"] == f"sha256={expected}"
    assert request.headers["x-webhook-id"] == str(endpoint.id)
    assert abs(int(timestamp) - time.time()) < _SKEW_SECONDS
