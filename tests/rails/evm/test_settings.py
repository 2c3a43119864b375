"""The chains file: what it says, and what it refuses and how."""

import re
import sys
from pathlib import Path

import pytest

from otcdesk.config import SettingsError
from otcdesk.rails.evm.keys import Keys
from otcdesk.rails.evm.settings import chains_settings
from tests.support.anvil.chain import key_of

ADDRESS, KEY = key_of(5)

GOOD = """
key_file = "keys.toml"
[networks.ethereum]
rpc_urls = ["https://node.example/v3/secret", "http://127.0.0.1:8545"]
chain_id = 1
confirmations = 12
max_fee_wei = 100000000000
[networks.ethereum.tokens.USDC]
contract = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
decimals = 6
"""


def written(folder: Path, chains: str = GOOD, keys: str = f'[keys]\n{ADDRESS} = "{KEY}"', mode: int = 0o600) -> Path:
    file, key_file = folder / "chains.toml", folder / "keys.toml"
    file.write_text(chains, encoding="utf-8")
    key_file.write_text(keys, encoding="utf-8")
    key_file.chmod(mode)
    return file


def test_a_good_file_is_read(tmp_path: Path) -> None:
    chains, keys = chains_settings(written(tmp_path))
    assert chains.networks["ethereum"].tokens["USDC"].decimals == 6
    assert chains.networks["ethereum"].gas_wallet is None
    assert keys.keys == {ADDRESS: KEY}


SECOND = GOOD.partition('"keys.toml"')[2].replace("ethereum", "another")


@pytest.mark.parametrize(
    "chains, why",
    [
        ("", "key_file"),
        (GOOD.replace("chain_id = 1", ""), "chain_id"),
        (GOOD.replace("chain_id = 1", "chain_id = 0"), "chain_id"),
        (GOOD.replace("confirmations = 12", "confirmations = 0"), "confirmations"),
        (GOOD.replace("chain_id = 1", "chain_id = 1\nretries = 3"), "retries"),
        (GOOD.replace("https://", "ftp://"), "rpc_urls"),
        (GOOD.replace("chain_id = 1", "chain_id = 1\npriority_fee_wei = 100000000001"), "priority_fee_wei"),
        (GOOD.replace("0xA0b8", "0xa0b8"), "capitals"),
        (GOOD.replace("chain_id = 1", f'chain_id = 1\ngas_wallet = "0x{"aB" * 20}"'), "capitals"),
        (GOOD.replace("decimals = 6", "decimals = 37"), "decimals"),
        (GOOD + GOOD.rpartition("[")[2].replace("networks", "[networks").replace("USDC", "EURC"), "one contract"),
        (GOOD + SECOND, "one chain_id"),
        (GOOD.partition("[")[0], "networks"),
        (f'simulated = ["ethereum"]{GOOD}', "ethereum is simulated and has nodes"),
        (GOOD.replace("8545", "85450"), "rpc_urls"),
        (GOOD.replace("//127.0.0.1", "//[127.0.0.1"), "rpc_urls"),
        (GOOD.replace("max_fee_wei = 1", f"max_fee_wei = 1{'0' * 30}"), "max_fee_wei"),
        (GOOD.replace("max_fee_wei = 1", f"max_fee_wei = 1{'0' * 5000}"), "4300"),
        ("key_file = ", "Invalid value"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, chains: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        chains_settings(written(tmp_path, chains))
    assert str(caught.value).startswith("DESK_CHAINS_FILE: ")
    assert why in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_keys_that_others_may_open_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="can be opened by others"):
        chains_settings(written(tmp_path, mode=mode))


@pytest.mark.parametrize("keys", [f'master = "{KEY}', f'master = "{KEY}0"', f'[keys]\n{ADDRESS} = "{KEY}0"', "x = 1"])
def test_a_damaged_file_of_keys_is_refused_and_not_shown(tmp_path: Path, keys: str) -> None:
    with pytest.raises(SettingsError, match="is not a valid file of keys") as caught:
        chains_settings(written(tmp_path, keys=keys))
    assert KEY not in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        chains_settings(tmp_path / "none.toml")
    file = written(tmp_path)
    (tmp_path / "keys.toml").unlink()
    with pytest.raises(SettingsError, match=r"key_file: .*No such file"):
        chains_settings(file)


def test_the_files_of_the_guide_are_valid(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "chains.md").read_text(encoding="utf-8")
    chains, keys = re.findall(r"^```toml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    address, key = key_of(1)
    file = written(tmp_path, chains, keys.replace("64 hexadecimal digits", key))
    (tmp_path / "keys.toml").rename(tmp_path / "chain-keys.toml")
    settings, given = chains_settings(file)
    assert settings.networks["ethereum"].gas_wallet == address
    assert Keys(given).signer(address) is not None


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_bytes(b"\xff" + GOOD.encode())
    with pytest.raises(SettingsError, match="is not UTF-8"):
        chains_settings(file)


def test_a_file_of_brackets_is_refused(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)  # the tests' own imports have raised it
    try:
        with pytest.raises(SettingsError, match="is nested too deeply"):
            chains_settings(written(tmp_path, f"x = {'[' * 5_000}{']' * 5_000}"))
        with pytest.raises(SettingsError, match="is not a valid file of keys"):
            chains_settings(written(tmp_path, keys=f"x = {'[' * 5_000}{']' * 5_000}"))
    finally:
        sys.setrecursionlimit(depth)


def test_the_addresses_of_nodes_are_not_shown(tmp_path: Path) -> None:
    chains, _ = chains_settings(written(tmp_path))
    assert "secret" not in repr(chains)
    with pytest.raises(SettingsError) as caught:
        chains_settings(written(tmp_path, GOOD.replace("https://node", "https://user:hidden/word@node")))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("mode, chains, warned", [(0o600, GOOD, False), (0o640, GOOD, True), (0o644, "", False)])
def test_passwords_that_others_may_read_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, chains: str, warned: bool
) -> None:
    file = written(tmp_path, chains or GOOD.replace("/v3/secret", ""))
    file.chmod(mode)
    chains_settings(file)
    told = capsys.readouterr().out
    assert ("chains_file_open_to_others" in told) is warned
    assert "secret" not in told
