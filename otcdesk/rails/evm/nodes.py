"""Nodes of one network by JSON-RPC: which of them is asked, and what its answers must look like to be believed.

For each look at the chain all nodes are asked which chain they are of and how far they are; one of the right chain that
is furthest is asked for everything else, so that what is seen is of one chain. Once one has answered the others are
waited for only briefly. What a node does not answer, or answers with what cannot be, is a NodeFailure; an error that it
states is a NodeRefusal. One that fails, or refuses what no contract refuses, is left for another at the next look.
"""

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog
from msgspec import Meta

from otcdesk.rails.evm.abi import printable

log = structlog.get_logger()

#: A block with its transactions is the longest answer that is asked for.
_ANSWER_BYTES_MAX = 32_000_000

#: For so many milliseconds other nodes are waited for when one has answered.
_OTHERS_MS = 500

#: No block has room for so many transactions of one sender, so a count above this many for each block cannot be.
_NONCES_A_BLOCK_MAX = 100_000

#: As high as a number of the database; chains have no higher nonces that are ever reached.
_NONCE_MAX = (1 << 63) - 1

_Hex = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{1,64}$")]
_Hash = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{64}$")]
_Data = Annotated[str, Meta(pattern="^0x([0-9a-fA-F]{2})*$")]

T = TypeVar("T")


class NodeFailure(Exception):
    """No node could be asked, or what it answered cannot be; nothing is known by it."""


class NodeRefusal(Exception):
    """A node has understood and says no: `said` is its sentence, `data` what a contract gave as its reason."""

    def __init__(self, said: str, data: str | None = None) -> None:
        super().__init__(said)
        self.said = said
        self.data = data

    @property
    def reverts(self) -> bool:
        """Tell whether a contract has refused, and not the node itself."""
        return "revert" in self.said.lower() or (self.data or "").lower().startswith(("0x", "revert"))


class Log(msgspec.Struct, frozen=True):
    """What a contract has told in a transaction."""

    address: _Hex
    topics: list[_Hash]
    data: _Data


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What has become of a transaction in a block."""

    transaction_hash: _Hash
    block_hash: _Hash
    block_number: _Hex
    status: _Hex
    logs: list[Log]

    @property
    def block(self) -> int:
        """Return the number of the block."""
        return int(self.block_number, 16)


class Block(msgspec.Struct, frozen=True, rename="camel"):
    """A block of the chain as its node sees it now."""

    hash: _Hash
    number: _Hex
    transactions: list[_Hash]
    base_fee_per_gas: _Hex | None = None

    @property
    def base_fee_wei(self) -> int | None:
        """Return what one gas cost at least; None where the network has no base fee."""
        return None if self.base_fee_per_gas is None else int(self.base_fee_per_gas, 16)


class Mined(msgspec.Struct, frozen=True):
    """A transaction of a block: who has sent what to whom, under which nonce. `to` is None for a new contract."""

    hash: _Hash
    sender: _Hex = msgspec.field(name="from")
    nonce: _Hex
    value: _Hex
    input: _Data
    to: _Hex | None = None


class _WholeBlock(msgspec.Struct, frozen=True):
    transactions: list[Mined]


class _Transaction(msgspec.Struct, frozen=True):
    hash: _Hash


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    data: msgspec.Raw = msgspec.Raw()

    @property
    def text(self) -> str | None:
        """Return the data if they are a text; whatever else they may be is not looked into."""
        return msgspec.json.decode(self.data, type=str) if bytes(self.data).startswith(b'"') else None


class _Answer(msgspec.Struct, frozen=True):
    id: int
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


class Node:
    """One node."""

    def __init__(self, url: str, network: str, timeout_ms: int) -> None:
        self._url = url
        self.host = urlsplit(url).hostname or ""  # the rest of an address may be a password
        self.network = network
        self._timeout_ms = timeout_ms
        self._numbers = itertools.count(1)
        self._failing = False

    async def ask(self, session: aiohttp.ClientSession, kind: type[T], method: str, *given: Any) -> T:
        """Ask for something; raises NodeFailure and NodeRefusal."""
        number = next(self._numbers)
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": given})
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                answer = await self._post(session, body)
            found = msgspec.json.decode(self._result(answer, number), type=kind)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._failed(f"cannot be reached: {type(error).__name__}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._failed(f"answers {method} with what cannot be: {printable(str(error))}") from None
        except NodeFailure as failure:
            raise self._failed(str(failure)) from None
        if self._failing:
            self._failing = False
            log.info("chain_node_recovered", network=self.network, host=self.host)
        return found

    def _result(self, answer: _Answer, number: int) -> msgspec.Raw:
        if answer.id != number:
            raise NodeFailure("answers another question")
        if answer.error is not None:
            raise NodeRefusal(printable(answer.error.message), answer.error.text)
        if not bytes(answer.result):
            raise NodeFailure("answers nothing")
        return answer.result

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> _Answer:
        headers = {"Content-Type": "application/json"}
        async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            text = bytearray()
            async for chunk in response.content.iter_any():
                text += chunk
                if len(text) > _ANSWER_BYTES_MAX:
                    raise NodeFailure("answers too much")
            try:
                return msgspec.json.decode(bytes(text), type=_Answer)
            except msgspec.DecodeError:
                if response.status != 200:
                    raise NodeFailure(f"answers with status {response.status}") from None
                raise

    def _failed(self, why: str) -> NodeFailure:
        if not self._failing:
            self._failing = True
            log.warning("chain_node_failing", network=self.network, host=self.host, reason=why)
        return NodeFailure(f"{self.host} {why}")


class View:
    """One look at the chain, through one node; `head` is its newest block when it was chosen."""

    def __init__(self, nodes: "Nodes", node: Node, head: int) -> None:
        self._nodes = nodes
        self._node = node
        self.head = head

    async def receipt(self, digest: str) -> Receipt | None:
        """Return what became of a transaction, None if it is in no block."""
        found: Receipt | None = await self._ask(Receipt | None, "eth_getTransactionReceipt", digest)
        if found is not None and found.transaction_hash.lower() != digest:
            raise NodeFailure(f"{self._node.host} answers for another transaction")
        return found

    async def block(self, number: int | None = None) -> Block | None:
        """Return the block of a number, None if there is none; the newest without a number."""
        place = "latest" if number is None else hex(number)
        found: Block | None = await self._ask(Block | None, "eth_getBlockByNumber", place, False)  # noqa: FBT003
        return found

    async def transactions(self, number: int) -> list[Mined]:
        """Return everything that is in a block; nothing where there is none."""
        found: _WholeBlock | None = await self._ask(_WholeBlock | None, "eth_getBlockByNumber", hex(number), True)  # noqa: FBT003
        return [] if found is None else found.transactions

    async def knows(self, digest: str) -> bool:
        """Tell whether the node has a transaction, mined or waiting."""
        return await self._ask(_Transaction | None, "eth_getTransactionByHash", digest) is not None

    async def mined(self, sender: str, number: int | None = None) -> int:
        """Return how many nonces of a sender are used, up to the newest block or up to that of a number."""
        place = "latest" if number is None else hex(number)
        return self._plausible(sender, await self._number("eth_getTransactionCount", sender, place))

    async def agreed(self, sender: str) -> tuple[int, int]:
        """Return how many nonces of a sender are used up to `head`, and how many nodes say so.

        Raises NodeFailure where nodes that have this block contradict one another, as they do while one of them is on
        another branch: a nonce that is given out for a wrong count binds everything after it.
        """
        told = set(counts := await self._nodes.counts(sender, self.head))
        if len(told) != 1:
            raise NodeFailure(f"the nodes of {self._nodes.network} do not agree about the nonces of {sender}")
        return self._plausible(sender, counts[0]), len(counts)

    def _plausible(self, sender: str, count: int) -> int:
        if count > min(_NONCE_MAX, (self.head + 2) * _NONCES_A_BLOCK_MAX):
            self._nodes.shun(self._node)
            raise NodeFailure(f"{self._node.host} counts {count:#x} nonces of {sender}, which cannot be")
        return count

    async def coin(self, owner: str) -> int:
        """Return how much of the chain's own coin an address has, in wei."""
        return await self._number("eth_getBalance", owner, "latest")

    async def call(self, contract: str, data: str) -> str:
        """Ask a contract; raises NodeRefusal with its reason."""
        told: str = await self._ask(_Data, "eth_call", {"to": contract, "data": data}, "latest")
        return told

    async def replay(self, sender: str, contract: str, data: str, number: int) -> str:
        """Do again without effect what was refused in a block; raises NodeRefusal with the reason."""
        asked = {"from": sender, "to": contract, "data": data}
        told: str = await self._ask(_Data, "eth_call", asked, hex(number))
        return told

    async def gas(self, sender: str, to: str, value: int, data: str) -> int:
        """Return how much gas a transaction takes; raises NodeRefusal where it would be refused.

        What waits does not count: a recipient's first token takes more, and what would bring it may never be mined.
        """
        asked = {"from": sender, "to": to, "value": hex(value), "data": data}
        return await self._number("eth_estimateGas", asked, "latest")

    async def send(self, raw: str) -> None:
        """Hand a signed transaction to every node; raises NodeRefusal or NodeFailure if none of them takes it."""
        await self._nodes.send(raw)

    async def _number(self, method: str, *given: Any) -> int:
        return int(await self._ask(_Hex, method, *given), 16)

    async def _ask(self, kind: Any, method: str, *given: Any) -> Any:
        try:
            return await self._node.ask(self._nodes.session, kind, method, *given)
        except NodeFailure:
            self._nodes.shun(self._node)
            raise
        except NodeRefusal as refusal:
            if not refusal.reverts:
                self._nodes.shun(self._node)
            raise


class Nodes:
    """The nodes of one network."""

    def __init__(self, urls: tuple[str, ...], *, network: str, chain_id: int, timeout_ms: int) -> None:
        self.network = network
        self._chain_id = chain_id
        self._nodes = [Node(url, network, timeout_ms) for url in urls]
        self._shunned: set[Node] = set()
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Return the connections, opened at the first use."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=True
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def shun(self, node: Node) -> None:
        """Prefer other nodes the next time, if there are others."""
        self._shunned.add(node)

    async def view(self) -> View:
        """Return a look through the furthest node of the right chain; raises NodeFailure if there is none."""
        heads = await _soon([self._head(node) for node in self._nodes])
        found = [(node, head) for node, head in zip(self._nodes, heads, strict=True) if isinstance(head, int)]
        preferred = [one for one in found if one[0] not in self._shunned] or found
        self._shunned.clear()
        if not preferred:
            raise NodeFailure("; ".join(str(head) for head in heads))
        node, head = max(preferred, key=lambda one: one[1])
        return View(self, node, head)

    async def counts(self, sender: str, number: int) -> list[int]:
        """Return how many nonces of a sender are used up to a block, as each node of the right chain says."""
        told = await _soon([self._count(node, sender, hex(number)) for node in self._nodes])
        if not (counts := [one for one in told if isinstance(one, int)]):
            raise NodeFailure("; ".join(map(str, told)))
        return counts

    async def send(self, raw: str) -> None:
        """Hand a signed transaction to every node of the right chain; see `View.send`."""
        told = await _soon([self._hand_over(node, raw) for node in self._nodes])
        failures = [one for one in told if isinstance(one, Exception)]
        if len(failures) == len(told):
            refusals = [one for one in failures if isinstance(one, NodeRefusal)]
            raise (refusals or failures)[0]

    async def _count(self, node: Node, sender: str, place: str) -> int:
        await self._right_chain(node)
        return int(await node.ask(self.session, _Hex, "eth_getTransactionCount", sender, place), 16)

    async def _hand_over(self, node: Node, raw: str) -> None:
        await self._right_chain(node)
        await node.ask(self.session, _Hash, "eth_sendRawTransaction", raw)

    async def _head(self, node: Node) -> int:
        _, head = await asyncio.gather(self._right_chain(node), node.ask(self.session, _Hex, "eth_blockNumber"))
        return int(head, 16)

    async def _right_chain(self, node: Node) -> None:
        """See that a node is of our chain: behind one address there may be another node today."""
        chain_id = int(await node.ask(self.session, _Hex, "eth_chainId"), 16)
        if chain_id != self._chain_id:
            log.error("chain_node_of_another_chain", network=self.network, host=node.host, chain_id=chain_id)
            raise NodeFailure(f"{node.host} is of chain {chain_id}, not of {self._chain_id}")


async def _soon(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T | Exception]:
    """Return what each call brings or fails with; when one has brought something the others have a moment more.

    Anything else than a node's failure is raised.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        waiting, brought = set(tasks), False
        while waiting and not brought:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            brought = any(one.exception() is None for one in done)
        if waiting:
            await asyncio.wait(waiting, timeout=_OTHERS_MS / 1000)
    finally:
        late = [one for one in tasks if not one.done()]
        for one in late:
            one.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    answers: list[T | Exception] = []
    for one in tasks:
        error = NodeFailure("is slower than another node") if one in late else one.exception()
        if error is not None and not isinstance(error, NodeFailure | NodeRefusal):
            raise error
        answers.append(one.result() if error is None else error)
    return answers
