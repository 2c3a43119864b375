"""What is said to contracts and read of them; the reference is code that is not ours."""

import pytest
from eth_abi.abi import encode
from eth_utils.abi import event_signature_to_log_topic, function_signature_to_4byte_selector
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.rails.evm.abi import (
    TRANSFERRED,
    UINT_MAX,
    balance_call,
    checksummed,
    decimals_call,
    is_address,
    printable,
    reason_of,
    transfer_call,
    transferred_topics,
    word_of,
)

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: f"0x{raw.hex()}")


def selected(function: str, kinds: list[str], values: list[object]) -> str:
    return f"0x{(function_signature_to_4byte_selector(function) + encode(kinds, values)).hex()}"


@given(to=ADDRESSES, value=st.integers(0, UINT_MAX))
def test_calls_are_encoded_as_contracts_read_them(to: str, value: int) -> None:
    assert transfer_call(to, value) == selected("transfer(address,uint256)", ["address", "uint256"], [to, value])
    assert balance_call(to) == selected("balanceOf(address)", ["address"], [to])
    assert decimals_call() == selected("decimals()", [], [])
    assert word_of(f"0x{encode(['uint256'], [value]).hex()}") == value


@given(sender=ADDRESSES, to=ADDRESSES)
def test_a_tokens_log_is_known_by_its_topics(sender: str, to: str) -> None:
    assert f"0x{event_signature_to_log_topic('Transfer(address,address,uint256)').hex()}" == TRANSFERRED
    encoded = [f"0x{encode(['address'], [address]).hex()}" for address in (sender, to)]
    assert transferred_topics(sender, to) == [TRANSFERRED, *encoded]


@pytest.mark.parametrize("data", ["0x", "0x01", "0x" + "0" * 63, "0x" + "0" * 65, "0x" + "g" * 64, "0" * 66])
def test_what_is_not_one_number_is_none(data: str) -> None:
    assert word_of(data) is None


def test_a_reason_is_read_and_bounded() -> None:
    def said(reason: str) -> str:
        return selected("Error(string)", ["string"], [reason])

    assert reason_of(said("transfers are paused")) == "transfers are paused"
    assert reason_of(said("a\nb\x00c")) == "a b c"
    assert len(reason_of(said("x" * 5_000)) or "") == 200
    for data in (None, 7, "0x", "0x08c379a0", "0x08c379a0zz", said("")):
        assert reason_of(data) is None
    assert printable("half of a character: \ud83d") == "half of a character: "


def test_capitals_are_a_checksum() -> None:
    right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert checksummed(right.lower()) == right
    assert all(map(is_address, (right, right.lower(), f"0x{right[2:].upper()}")))
    for wrong in (right.replace("aA", "Aa"), right[:-1], f"{right}0", right[2:], "0x" + "0" * 40, "", "0x" + "g" * 40):
        assert not is_address(wrong), wrong
