"""The glossary's words mean one thing each: what it bans is not the name of anything in the core."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "otcdesk"
CORE = [PACKAGE / name for name in ("domain", "actions", "engine", "storage")]

#: For each word of the glossary, the words that must not be used for it.
BANNED = {
    "desk": ("house", "exchange", "platform"),
    "tenant": ("client", "partner", "merchant"),
    "party": ("user", "customer", "counterparty"),
    "quote": ("offer",),
    "order": ("transaction",),
    "trade": ("fill", "deal"),
    "account": ("wallet", "balance"),
    "posting": ("leg", "transfer"),
    "entry": ("line",),
    "ledger transaction": ("journal", "movement"),
    "hold": ("lock", "freeze", "reserve"),
    "deposit, payout": ("payin", "withdrawal"),
    "settlement": ("clearing",),
    "rail": ("gateway", "processor"),
    "lane": ("shard", "partition"),
    "command, batch, books": ("message",),
}
# `rate` (for quote), `event` and `cache` (for command and books) are missing: they are right words for other things.

WORDS = {word for words in BANNED.values() for word in words}

#: Names that have a banned word in them and mean something else by it.
ALLOWED = {
    "LedgerTransaction": "the glossary's own word; `transaction` is banned for an order only",
    "transaction": "a ledger transaction, where nothing else can be meant",
    "transaction_id": "of a ledger transaction",
    "balance": "what an account holds; the word is banned for the account itself",
    "BALANCE_UPDATED": "what an account holds has changed",
    "balance_after": "what an account holds after an entry",
    "FileWallet": "the world file has its readers' word for an account of tokens",
    "wallet": "a table of the world file",
    "wallets": "a table of the world file",
    "RecordLeg": "a leg is the outside part of an order that one rail carries; postings are made only once it is done",
    "LegRecorded": "the reply to RecordLeg",
    "record_leg": "as RecordLeg",
    "LEG_DONE": "as RecordLeg",
    "LEG_REFUSED": "as RecordLeg",
    "FreezeTenant": "who is frozen starts nothing new; the word is banned for a hold, which is of an amount",
    "FreezeParty": "as FreezeTenant",
    "freeze_tenant": "as FreezeTenant",
    "freeze_party": "as FreezeTenant",
    "PARTIES_FREEZE": "as FreezeTenant",
    "StatementLine": "a bank's own word for what its statement lists; an entry is of one of our accounts",
    "GivenLine": "as StatementLine",
    "STATEMENT_LINE": "as StatementLine",
    "RecordStatementLines": "as StatementLine",
    "record_statement_lines": "as StatementLine",
    "LinesRecorded": "as StatementLine",
    "ResolveLine": "as StatementLine",
    "LineResolved": "as StatementLine",
    "resolve_line": "as StatementLine",
    "line_id": "as StatementLine",
    "open_lines": "as StatementLine",
    "_line": "as StatementLine",
    "line": "tickets of one owner that wait in line, and lines of text",
    "lines": "of text",
    "last_lines": "of text",
    "TAIL_LINES": "of text",
    "_reserve": "an idempotency key in flight; no amount is meant",
    "MIGRATION_LOCK": "a lock of the database, not a hold",
    "_open_lock": "a lock of the file system, not a hold",
    "FileClient": "a client of OAuth 2.0, by which a tenant calls",
    "clients": "as FileClient",
    "USERS_MANAGE": "the name of a permission, by which people know it",
    "user": "of the operating system",
    "user_name": "of the operating system",
    "_database_user": "of the operating system",
}

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Yield every name that a module gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def banned_part(name: str) -> str | None:
    """Return the first word of a name that is banned, singular or plural."""
    for part in _PART.finditer(name):
        word = part.group().lower()
        if word in WORDS or word.removesuffix("s") in WORDS:
            return word
    return None


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def test_names_in_the_core_use_the_glossarys_words() -> None:
    found = {
        (name, path.relative_to(ROOT).as_posix())
        for path in sources(*CORE)
        for name in identifiers(ast.parse(path.read_text(encoding="utf-8")))
        if banned_part(name) and name not in ALLOWED
    }
    assert not found, "say it with the glossary's word, or add the name to ALLOWED with the reason"


def test_every_exception_is_still_needed() -> None:
    names = {name for path in sources(*CORE) for name in identifiers(ast.parse(path.read_text(encoding="utf-8")))}
    assert not ALLOWED.keys() - names
    assert all(banned_part(name) for name in ALLOWED)


@pytest.mark.parametrize("name", ["client_id", "CustomerCache", "userNames", "wallets", "XFreeze", "LEG"])
def test_banned_words_are_seen_inside_names(name: str) -> None:
    assert banned_part(name)


@pytest.mark.parametrize("name", ["online", "baseline", "delegate", "legend", "locked_until", "dealer"])
def test_words_that_only_contain_a_banned_one_are_free(name: str) -> None:
    assert not banned_part(name)


def test_no_binary_fractions_anywhere() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources(PACKAGE)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"\bfloat\b", line)
    ]
    assert not found
    types = re.compile(r"\b(float\d?|real|double precision)\b")
    assert not [path for path in PACKAGE.rglob("*.sql") if types.search(path.read_text(encoding="utf-8"))]
