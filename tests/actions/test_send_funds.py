"""A branch sends its money to a wallet: the books move it at once, and the chain follows."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.burn_holding import NOBODYS_ADDRESS
from otcdesk.actions.retry_job import RetryJob
from otcdesk.actions.send_funds import SendFunds
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.jobs import SEND, Job
from otcdesk.domain.ledger import Account, LedgerTransaction
from otcdesk.domain.resales import FUNDS, Currency, Mandate, branch_account_id
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.estate import (
    ESTATE,
    N2,
    NOBODY,
    ROOT,
    THIRD,
    U1,
    U2,
    C,
    N,
    branch_units,
    done,
    estate_desk,
    recorded,
    refused,
    units,
)
from tests.support.pure import PureDesk

U2_MONEY, U1_TOKENS = holding_id(U2, "VUSD"), holding_id(U1, "EXT")
FUNDS_OF_N = branch_account_id(N, FUNDS, "VUSD")


def sending(amount: str = "12.5", recipient_id: UUID | None = U2_MONEY, **told: Any) -> SendFunds:
    usual = {"currency_id": C, "address": "0x0a", "mandate": ROOT}
    return SendFunds(recipient_id=recipient_id, amount=Decimal(amount), **{**usual, **told})


def sent(desk: PureDesk, command: SendFunds) -> Job:
    desk.act(command, owner_id=ESTATE, caller="client")
    (job,) = [job for job in desk.all(Job) if job.kind == SEND]
    return job


def test_money_is_theirs_at_once_and_the_chain_follows() -> None:
    desk = estate_desk()
    job = sent(desk, sending())
    assert (units(desk, U2, "VUSD"), branch_units(desk, FUNDS)) == ((512_500_000, 0), 987_500_000)
    assert (job.asset, job.units, job.party_id, job.instrument_id) == ("VUSD", 12_500_000, None, C)
    assert (job.source_account_id, job.destination_account_id) == (FUNDS_OF_N, U2_MONEY)
    assert desk.get(LedgerTransaction, job.order_id).reason == "resale: sent by the branch"
    assert recorded(desk, done(job)).job.state == "completed"


def test_a_refused_job_leaves_the_books_and_is_made_by_another() -> None:
    desk = estate_desk()
    job = sent(desk, sending())
    recorded(desk, refused(job))
    assert units(desk, U2, "VUSD") == (512_500_000, 0)
    again = desk.act(RetryJob(job_id=job.id)).job
    assert (again.units, again.tries, again.reference == job.reference) == (12_500_000, 2, False)
    recorded(desk, done(again))
    assert units(desk, U2, "VUSD") == (512_500_000, 0)


def on(desk: PureDesk, network: str, *account_ids: UUID) -> None:
    """Let accounts lie on a network."""
    for account_id in account_ids:
        desk.put(desk.get(Account, account_id).with_(network=network))


def test_a_wallet_of_tokens_leads_to_its_owners_money_at_the_same_address_where_the_money_is() -> None:
    desk = estate_desk()
    on(desk, "base", FUNDS_OF_N)
    on(desk, "polygon", U1_TOKENS)
    tokens = desk.get(Account, U1_TOKENS)
    sent(desk, sending("1", U1_TOKENS))
    opened = desk.get(Account, holding_id(U1, "VUSD"))
    assert (opened.balance, opened.address, opened.network) == (1_000_000, tokens.address, "base")
    assert opened.purpose == "holding"
    assert desk.get(Account, U1_TOKENS) == tokens


def test_money_is_sent_to_another_branch() -> None:
    desk = estate_desk()
    wallet = Account(id=branch_account_id(N2, FUNDS, "OTHER"), owner_id=N2, purpose=FUNDS, asset="OTHER", address="0x2")
    desk.put(wallet)
    sent(desk, sending("2", wallet.id))
    assert branch_units(desk, FUNDS, branch_id=N2) == 2_000_000
    opened = desk.get(Account, branch_account_id(N2, FUNDS, "VUSD"))
    assert (opened.owner_id, opened.address) == (N2, "0x2")


def test_an_account_that_was_nowhere_is_where_its_money_was_sent_to() -> None:
    desk = estate_desk()
    nowhere = Account(id=holding_id(U1, "VUSD"), owner_id=U1, purpose="holding", asset="VUSD")
    desk.put(nowhere)
    sent(desk, sending("1", U1_TOKENS))
    assert desk.get(Account, nowhere.id).address == desk.get(Account, U1_TOKENS).address is not None


def test_an_account_on_another_network_gets_nothing() -> None:
    desk = estate_desk()
    on(desk, "base", FUNDS_OF_N)
    on(desk, "polygon", U2_MONEY)
    assert desk.refuse(sending(), owner_id=ESTATE) is Code.CUSTODY_NOT_FOUND
    on(desk, "base", U2_MONEY)
    sent(desk, sending())
    unused = Account(id=holding_id(U1, "VUSD"), owner_id=U1, purpose="holding", asset="VUSD", network="polygon")
    desk.put(unused)
    assert desk.refuse(sending(recipient_id=U1_TOKENS), owner_id=ESTATE) is Code.CUSTODY_NOT_FOUND


@pytest.mark.parametrize(
    "address, version, gets",
    [
        (None, 0, True),  # where money is sent to is where it will be
        (None, 1, False),  # its money lies at an address that the rail has for it
        ("0x00000000000000000000000000000000000000A1", 1, True),
        ("0x00000000000000000000000000000000000000a3", 0, False),
    ],
)
def test_money_goes_to_the_address_that_was_named_or_nowhere(address: str | None, version: int, gets: bool) -> None:
    desk = estate_desk()
    known = Account(id=holding_id(U1, "VUSD"), owner_id=U1, purpose="holding", asset="VUSD", address=address)
    desk.put(known.with_(version=version))
    if gets:
        sent(desk, sending("1", U1_TOKENS))
        after = desk.get(Account, known.id)
        assert (after.address or "").lower() == (desk.get(Account, U1_TOKENS).address or "").lower() != ""
    else:
        assert desk.refuse(sending("1", U1_TOKENS), owner_id=ESTATE) is Code.CUSTODY_NOT_FOUND


@pytest.mark.parametrize("purpose", ["burnt", "escrow", "unsold", "inventory"])
def test_no_money_is_sent_to_where_a_branch_keeps_none(purpose: str) -> None:
    desk = estate_desk()
    there = Account(id=branch_account_id(N2, purpose, "EXT"), owner_id=N2, purpose=purpose, asset="EXT", address="0x2")
    desk.put(there)
    assert desk.refuse(sending(recipient_id=there.id), owner_id=ESTATE) is Code.CUSTODY_NOT_FOUND


@pytest.mark.parametrize("address", [NOBODYS_ADDRESS, NOBODYS_ADDRESS.lower(), "0x" + "0" * 40])
def test_no_money_is_sent_to_where_nobody_is(address: str) -> None:
    desk = estate_desk()
    desk.put(desk.get(Account, U1_TOKENS).with_(address=address))
    assert desk.refuse(sending(recipient_id=U1_TOKENS), owner_id=ESTATE) is Code.CUSTODY_NOT_FOUND


def test_a_key_stands_for_the_address_and_not_for_who_asks_or_what_was_found_there() -> None:
    one = sending(address="0xAB")
    assert one.compared == sending(address="0xab", recipient_id=U1_TOKENS, mandate=THIRD).compared
    assert one.compared != sending(address="0xac").compared
    assert one.compared != sending("12", address="0xab").compared


@pytest.mark.parametrize("mandate", [NOBODY, THIRD])
def test_a_key_sends_once_and_tells_whoever_may_send(mandate: Mandate) -> None:
    desk = estate_desk()
    first = desk.act(sending(), owner_id=ESTATE, key="k")
    assert desk.act(sending(), owner_id=ESTATE, key="k") == first
    assert units(desk, U2, "VUSD") == (512_500_000, 0)
    assert desk.refuse(sending("1"), owner_id=ESTATE, key="k") is Code.KEY_REUSED
    for amount in ("12.5", "1"):
        assert desk.refuse(sending(amount, mandate=mandate), owner_id=ESTATE, key="k") is Code.NOT_PERMITTED
    desk.put(desk.get(Currency, C).with_(state="error"))
    assert desk.act(sending(), owner_id=ESTATE, key="k") == first


@pytest.mark.parametrize(
    "told, code",
    [
        ({"currency_id": uuid4(), "mandate": NOBODY}, Code.CURRENCY_NOT_FOUND),
        ({"mandate": NOBODY, "recipient_id": None}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
        ({"recipient_id": None, "amount": "0"}, Code.CUSTODY_NOT_FOUND),
        ({"recipient_id": uuid4()}, Code.CUSTODY_NOT_FOUND),
        ({"recipient_id": FUNDS_OF_N}, Code.CUSTODY_NOT_FOUND),  # from and to the same
        ({"amount": "0.0000001"}, Code.AMOUNT_TOO_FINE),
        ({"amount": "0"}, Code.AMOUNT_TOO_SMALL),
        ({"amount": "-1"}, Code.AMOUNT_TOO_SMALL),
        ({"amount": str(UNITS_MAX)}, Code.AMOUNT_TOO_LARGE),
        ({"amount": "1000.000001"}, Code.BRANCH_NOT_COVERED),
    ],
)
def test_what_is_refused_in_which_order(told: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(sending(**told), owner_id=ESTATE) is code


def test_all_that_there_is_can_be_sent_and_no_more() -> None:
    desk = estate_desk()
    sent(desk, sending("1000"))
    assert branch_units(desk, FUNDS) == 0
    assert desk.refuse(sending("0.000001"), owner_id=ESTATE) is Code.BRANCH_NOT_COVERED


def test_what_is_nobodys_of_this_tenant_gets_nothing() -> None:
    desk = estate_desk()
    stranger = Account(id=uuid4(), owner_id=uuid4(), purpose="holding", asset="VUSD", address="0x3")
    desk.put(stranger)
    assert desk.refuse(sending(recipient_id=stranger.id), owner_id=ESTATE) is Code.CUSTODY_NOT_FOUND
    assert desk.refuse(sending(), owner_id=uuid4()) is Code.CURRENCY_NOT_FOUND


def test_a_currency_that_is_not_deployed_is_not_sent() -> None:
    desk = estate_desk()
    desk.put(desk.get(Currency, C).with_(state="error"))
    assert desk.refuse(sending(), owner_id=ESTATE) is Code.CURRENCY_NOT_FOUND
