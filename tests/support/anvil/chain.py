"""A chain of this machine's own: a real Ethereum node whose blocks are made when a test says so, and a token on it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_utils.abi import function_signature_to_4byte_selector

from tests.support.server import ROOT, free_port, wait_until

_INSTALLED = ROOT / ".venv" / "anvil" / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
_TOKEN = Path(__file__).with_name("token.vy")

CHAIN_ID = 31_337
GWEI = 10**9
ETHER = 10**18


class Anvil:
    """A running node; `maker` is an address with coin that it signs for by itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(timeout=20)
        self.maker = ""

    def ask(self, method: str, *given: Any) -> Any:
        """Ask the node, also for what only a node of tests does."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
        answer = self.http.post(self.url, json=body).json()
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def number(self, method: str, *given: Any) -> int:
        """Ask for a number."""
        return int(self.ask(method, *given), 16)

    def mine(self, blocks: int = 1) -> None:
        """Make blocks; the first takes what waits."""
        self.ask("anvil_mine", hex(blocks))

    def waiting(self) -> list[dict[str, Any]]:
        """Return the transactions that wait, of all senders."""
        pool = self.ask("txpool_content")
        return [one for part in ("pending", "queued") for nonces in pool[part].values() for one in nonces.values()]

    def drop(self, digest: str) -> None:
        """Forget a transaction that waits."""
        self.ask("anvil_dropTransaction", digest)

    def give_coin(self, address: str, wei: int) -> None:
        """Let an address have so much of the chain's own coin."""
        self.ask("anvil_setBalance", address, hex(wei))

    def coin(self, address: str) -> int:
        """Return how much of the chain's own coin an address has."""
        return self.number("eth_getBalance", address, "latest")

    def send(self, sender: str, to: str | None, data: str, **more: Any) -> str:
        """Send a transaction that the node signs by itself, and make a block of it; returns its hash."""
        asked = {"from": sender, "data": data, **({} if to is None else {"to": to}), **more}
        digest: str = self.ask("eth_sendTransaction", asked)
        self.mine()
        receipt = self.ask("eth_getTransactionReceipt", digest)
        assert receipt["status"] == "0x1", receipt
        return digest

    def send_as(self, address: str, nonce: int, **more: Any) -> str:
        """Put a transaction of anybody's among those that wait; returns its hash."""
        self.ask("anvil_impersonateAccount", address)
        fees = {"maxFeePerGas": hex(50 * GWEI), "maxPriorityFeePerGas": hex(10 * GWEI)}
        asked = {"from": address, "to": self.maker, "value": "0x0", "gas": hex(21_000), "nonce": hex(nonce), **fees}
        digest: str = self.ask("eth_sendTransaction", asked | more)
        self.ask("anvil_stopImpersonatingAccount", address)
        return digest

    def transactions_of(self, sender: str) -> list[dict[str, Any]]:
        """Return everything of a sender's that is in a block."""
        found = []
        for number in range(self.number("eth_blockNumber") + 1):
            block = self.ask("eth_getBlockByNumber", hex(number), True)
            found += [one for one in block["transactions"] if one["from"] == sender]
        return found


class Token:
    """The token of `token.vy`, by which its maker steers it."""

    def __init__(self, anvil: Anvil, decimals: int = 6) -> None:
        self.anvil = anvil
        digest = anvil.send(anvil.maker, None, f"{token_code()}{decimals:064x}")
        self.address: str = anvil.ask("eth_getTransactionReceipt", digest)["contractAddress"]

    def mint(self, to: str, value: int) -> None:
        """Make so much for an address."""
        self._tell("mint(address,uint256)", f"{to[2:]:0>64}{value:064x}")

    def pause(self, *, on: bool) -> None:
        """Refuse transfers, or no more."""
        self._tell("pause(bool)", f"{int(on):064x}")

    def keep_silent(self, *, on: bool) -> None:
        """Move nothing and do not fail."""
        self._tell("keep_silent(bool)", f"{int(on):064x}")

    def of(self, owner: str) -> int:
        """Return how much an address has."""
        data = f"{_selector('balanceOf(address)')}{owner[2:]:0>64}"
        return self.anvil.number("eth_call", {"to": self.address, "data": data}, "latest")

    def _tell(self, function: str, given: str) -> None:
        self.anvil.send(self.anvil.maker, self.address, f"{_selector(function)}{given}")


@cache
def _selector(function: str) -> str:
    return f"0x{function_signature_to_4byte_selector(function).hex()}"


@cache
def token_code() -> str:
    """Return the token's code, compiled from its source."""
    from vyper.compiler import compile_code  # type: ignore[import-untyped]  # it takes a second to load

    source = _TOKEN.read_text(encoding="utf-8")
    code: str = compile_code(source, output_formats=["bytecode"])["bytecode"]
    return code


@contextmanager
def running_anvil(*arguments: str) -> Iterator[Anvil]:
    """Run a node that makes no block by itself."""
    program = str(_INSTALLED) if _INSTALLED.exists() else shutil.which("anvil")
    assert program, "there is no anvil: scripts/setup.sh npm"
    port = free_port()
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--no-mining", "--silent", "--accounts", "2"]
    command += ["--chain-id", str(CHAIN_ID), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    anvil = Anvil(f"http://127.0.0.1:{port}")

    def answers() -> bool:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            anvil.maker = anvil.ask("eth_accounts")[0]
        except httpx.TransportError:
            return False
        return True

    try:
        wait_until(answers, "the chain answers")
        yield anvil
    finally:
        anvil.http.close()
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def key_of(number: int) -> tuple[str, str]:
    """Return an address and its key, the same for the same number."""
    key = f"{number:064x}"
    address: str = Account.from_key(key).address
    return address.lower(), key
