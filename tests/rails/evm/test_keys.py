"""Keys: which addresses they make, how a wallet's derives, and that nobody is shown one."""

import hashlib
import hmac
from uuid import UUID

import pytest
from eth_account import Account as Signer
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.config import SettingsError
from otcdesk.rails.evm.keys import CURVE_ORDER, Keys, Payload, sign, wallet_key
from otcdesk.rails.evm.settings import KeySettings
from tests.support.anvil.chain import key_of
from tests.support.anvil.site import FAR, MASTER, SOURCE, SOURCE_KEY, account

WALLET = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def test_a_wallets_key_is_that_of_the_document() -> None:
    """The addresses of funded wallets must never change: these are written down."""
    digest = hmac.new(
        bytes.fromhex(MASTER), b"otcdesk chain wallet v1\0" + bytes(7) + b"\x07" + WALLET.bytes, hashlib.sha512
    )
    expected = int(digest.hexdigest(), 16) % (CURVE_ORDER - 1) + 1
    assert wallet_key(bytes.fromhex(MASTER), 7, WALLET) == expected
    keys = Keys(KeySettings(master=MASTER))
    assert keys.address_of(7, account(None, WALLET)) == "0x53867656a691726ed247ba2ce969d52a0567899c"


@given(master=st.binary(min_size=32, max_size=32), lane=st.integers(0, 2**31 - 1), account_id=st.uuids())
def test_every_wallet_has_a_key_of_the_curve(master: bytes, lane: int, account_id: UUID) -> None:
    key = wallet_key(master, lane, account_id)
    assert 0 < key < CURVE_ORDER
    assert key != wallet_key(master, lane + 1, account_id)


def test_only_wallets_without_an_address_have_derived_keys() -> None:
    keys = Keys(KeySettings(master=f"0x{MASTER}", keys={SOURCE: SOURCE_KEY}))
    derived = keys.address_of(1, account(None, WALLET))
    assert derived is not None
    signer = keys.signer(derived)
    assert signer is not None
    assert signer.address.lower() == derived
    assert keys.address_of(2, account(None, WALLET)) != derived
    assert keys.address_of(1, account(FAR.upper().replace("0X", "0x"))) == FAR
    assert keys.signer(FAR) is None
    assert keys.signer(SOURCE) is not None
    with pytest.raises(ValueError, match="not an address"):
        keys.address_of(1, account("DE89370400440532013000"))


def test_without_a_master_key_a_wallet_needs_an_address() -> None:
    keys = Keys(KeySettings(keys={SOURCE: SOURCE_KEY}))
    assert keys.address_of(1, account()) is None
    assert keys.address_of(1, account(SOURCE)) == SOURCE


@pytest.mark.parametrize("key", [key_of(7)[1], "0" * 64, f"{CURVE_ORDER:064x}", "f" * 64])
def test_a_key_that_does_not_make_its_address_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Keys(KeySettings(keys={SOURCE: key}))
    assert SOURCE in str(caught.value)
    assert key not in str(caught.value)


def test_keys_are_not_shown() -> None:
    keys = Keys(KeySettings(master=MASTER, keys={SOURCE: SOURCE_KEY}))
    assert repr(keys) == "Keys(1 addresses)"
    assert repr(KeySettings(master=MASTER, keys={SOURCE: SOURCE_KEY})) == "KeySettings(1 addresses)"


def test_a_signature_is_the_addresss_and_the_bytes_are_the_same_each_time() -> None:
    signer = Signer.from_key(SOURCE_KEY)
    payload = Payload(
        chain_id=1, nonce=7, to=FAR, value=5, data="0x", gas_limit=21_000, max_fee_wei=9, priority_fee_wei=1
    )
    digest, raw = sign(signer, payload)
    assert sign(signer, payload) == (digest, raw)
    assert Signer.recover_transaction(raw).lower() == SOURCE
    assert raw.startswith("0x02")


def test_a_derived_key_sends_for_its_own_account_only() -> None:
    """Whoever reads a wallet's address on the chain may give it to an account of theirs."""
    keys = Keys(KeySettings(master=MASTER, keys={SOURCE: SOURCE_KEY}))
    derived = keys.address_of(1, account(None, WALLET))
    assert keys.may_send(1, account(None, WALLET))
    assert keys.may_send(1, account(SOURCE))
    assert not keys.may_send(1, account(derived))
    assert not keys.may_send(1, account(FAR))
    assert not Keys(KeySettings()).may_send(1, account(None, WALLET))


def test_an_address_is_not_there_twice() -> None:
    other = f"0x{SOURCE[2:].upper()}"
    assert other != SOURCE
    with pytest.raises(SettingsError, match="is there twice"):
        Keys(KeySettings(keys={SOURCE: SOURCE_KEY, other: SOURCE_KEY}))
