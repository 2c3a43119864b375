"""Chain payouts: what they wait for."""

from otcdesk.domain.chain_payouts import CHAIN_PAYOUT_ORDER, CHAIN_PAYOUT_RAIL, CHAIN_PAYOUTS, PENDING, SEND


def test_only_what_is_pending_waits_for_the_chain() -> None:
    assert CHAIN_PAYOUTS.waits_for == {(SEND, PENDING): CHAIN_PAYOUT_RAIL}
    assert CHAIN_PAYOUT_ORDER.ends == CHAIN_PAYOUTS.ended
