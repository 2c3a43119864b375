"""Simulated places: the same for the same name, and such as the real ones look."""

import re

import pytest
from schwifty import BIC, IBAN

from otcdesk.rails.simulated.places import SimulatedPlaces, simulated_address, simulated_bank, simulated_hash

LOOKS = {
    "Bitcoin": r"bc1q[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{38}",
    "Ethereum": r"0x[0-9a-f]{40}",
    "PolygonPos": r"0x[0-9a-f]{40}",
    "Solana": r"[1-9A-HJ-NP-Za-km-z]{44}",
}


@pytest.mark.parametrize("network", LOOKS)
def test_addresses_look_as_the_networks_do(network: str) -> None:
    addresses = {simulated_address(network, str(number)) for number in range(500)}
    assert len(addresses) == 500
    assert all(re.fullmatch(LOOKS[network], one) for one in addresses)
    assert simulated_address(network, "1") in addresses


def test_transactions_have_names_of_their_own() -> None:
    assert re.fullmatch(r"0x[0-9a-f]{64}", simulated_hash("Ethereum", "1"))
    assert re.fullmatch(r"[0-9a-f]{64}", simulated_hash("Bitcoin", "1"))
    assert len({simulated_hash(network, str(number)) for network in LOOKS for number in range(100)}) == 400


def test_bank_accounts_are_such_as_a_bank_would_take() -> None:
    banks = [simulated_bank("EUR", str(number), "otcdesk") for number in range(500)]
    assert len({bank.number for bank in banks}) == 500
    assert all(IBAN(bank.number).is_valid and BIC(bank.bank_code or "").is_valid for bank in banks)
    assert banks[0].name == f"Bank/Sepa/EUR/{banks[0].bank_code}/{banks[0].number}"
    assert simulated_bank("JPY", "1", "otcdesk").type == "BankLocal"


async def test_a_name_has_one_place_of_its_own_in_each_lane() -> None:
    places = SimulatedPlaces()
    asked = [(lane, name) for lane in (1, 2) for name in ("a", "b")]
    addresses = [await places.address(lane, "Ethereum", name) for lane, name in asked]
    banks = [(await places.bank(lane, "EUR", name)).name for lane, name in asked]
    assert addresses == [await places.address(lane, "Ethereum", name) for lane, name in asked]
    assert banks == [(await places.bank(lane, "EUR", name)).name for lane, name in asked]
    assert (len({*addresses}), len({*banks})) == (4, 4)
