"""The generated documents: what the code says in tables, written out for people, and checked to be fresh."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.api.openapi import openapi_document
from otcdesk.app import DIALECTS, ENVELOPES, prefix_of
from otcdesk.config import Settings, variable_of
from otcdesk.domain.duties import DUTIES, ROLES
from otcdesk.domain.event_types import CATALOGUE as EVENT_TYPES
from otcdesk.domain.products import LIFECYCLES
from otcdesk.errors import Code
from otcdesk.metrics import FIGURES
from otcdesk.webhooks.envelope import Envelope, any_2xx
from otcdesk.webhooks.fields import fields_of

_NOTE = "<!-- Written by `make docs`; edit the code instead. -->\n\n"


def write_documents(folder: Path, *, check: bool) -> list[Path]:
    """Write what differs (with `check`: only look); returns the documents that differed."""
    stale = []
    for name, text in _documents().items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale


def _documents() -> dict[str, str]:
    openapi = {
        f"openapi/{dialect.name}.json": json.dumps(openapi_document(dialect, prefix_of(dialect, Settings())), indent=2)
        + "\n"
        for dialect in DIALECTS
    }
    return {
        "reference/settings.md": _settings(),
        "reference/refusals.md": _refusals(),
        "reference/commands.md": _commands(),
        "reference/roles.md": _roles(),
        "reference/lifecycles.md": _lifecycles(),
        "reference/metrics.md": _metrics(),
        "reference/events.md": _events(),
        **openapi,
    }


def _settings() -> str:
    lines = ["# Settings\n", _NOTE + "| variable | default | bounds | meaning |", "| --- | --- | --- | --- |"]
    hints = get_type_hints(Settings, include_extras=True)
    defaults = Settings()
    for field in Settings.__struct_fields__:
        meta = _meta(hints[field])
        least, most = getattr(meta, "ge", None), getattr(meta, "le", None)
        bounds = f"{least} to {most}" if least is not None else ""
        default = getattr(defaults, field)
        meaning = getattr(meta, "description", "") or ""
        lines.append(f"| `{variable_of(field)}` | `{default}` | {bounds} | {meaning} |")
    return "\n".join(lines) + "\n"


def _meta(hint: Any) -> msgspec.Meta | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((part for part in get_args(hint) if isinstance(part, msgspec.Meta)), None)


def _refusals() -> str:
    names = [dialect.name for dialect in DIALECTS]
    lines = [
        "# Refusals\n",
        _NOTE + "What each dialect answers for every refusal of the core; a dash: it cannot happen there.\n",
        f"| code | retry may help | {' | '.join(names)} | meaning |",
        "| --- | --- |" + " --- |" * len(names) + " --- |",
    ]
    for code in Code:
        replies = [dialect.replies.get(code) for dialect in DIALECTS]
        told = " | ".join(f"{reply.status} `{reply.word}`" if reply else "-" for reply in replies)
        retry = "yes" if code.retry_may_help else ""
        lines.append(f"| `{code.name}` | {retry} | {told} | {code.sentence} |")
    return "\n".join(lines) + "\n"


def _events() -> str:
    lines = [
        "# Events\n",
        _NOTE + "What happens, by the name that the operator's webhooks know it by. A version rises when fields change",
        "their meaning or go; new fields may join at any time.\n",
        "| event type | version | about | who may hear it | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in EVENT_TYPES.values():
        hears = ", ".join({"tenant": "its tenant", "operator": "the operator"}[one] for one in kind.visible_to)
        lines.append(f"| `{kind.name}` | {kind.version} | {kind.subject.value} | {hears} | {kind.meaning} |")
    lines += [
        "\nWhat a webhook may name in each envelope. A contract lists more than this desk has occasion to tell.\n",
        "| envelope | signed with | received is | event types |",
        "| --- | --- | --- | --- |",
    ]
    for name in ENVELOPES.names:
        envelope = ENVELOPES.named(name)
        signed = " or ".join(kind.value for kind in envelope.key_kinds)
        whose = "a key of its own" if envelope.own_keys else "the desk's key"
        types = ", ".join(f"`{word}`" for word in sorted(envelope.event_types))
        lines.append(f"| `{name}` | {whose}: {signed} | {_statuses(envelope.received)} | {types} |")
    for name in ENVELOPES.names:
        lines += _sent(ENVELOPES.named(name))
    return "\n".join(lines) + "\n"


def _sent(envelope: Envelope) -> Iterator[str]:
    """Yield what is said of an envelope's messages: their headers, and the fields of each shape that a body has."""
    yield f"\n## What the envelope `{envelope.name}` sends\n"
    yield "A POST with a body of JSON in UTF-8, and besides `Content-Type: application/json` these headers:\n"
    yield "| header | sent | meaning |\n| --- | --- | --- |"
    for header in envelope.sent_headers:
        when = "always" if header.always else "after a rotation"
        yield f"| `{header.name}` | {when} | {header.meaning} |"
    for shape in dict.fromkeys(kind.shape for kind in envelope.messages.values()):
        kinds = {name: kind for name, kind in envelope.messages.items() if kind.shape is shape}
        yield "\n| event type | told when |\n| --- | --- |"
        for name, kind in kinds.items():
            yield f"| `{name}` | {kind.meaning} |"
        yield "\n| field | type | format | sent | meaning |\n| --- | --- | --- | --- | --- |"
        for field in fields_of(shape):
            sent = "always" if field.always else "sometimes"
            yield f"| `{field.name}` | {field.type} | {field.form or ''} | {sent} | {field.meaning} |"


def _statuses(received: frozenset[int]) -> str:
    if received == any_2xx():
        return "200 to 299"
    return ", ".join(map(str, sorted(received)))


def _commands() -> str:
    lines = [
        "# Commands\n",
        _NOTE + "| command | key scope | compares body | keeps refusals | replay | key in flight | audits refusals |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for command, verb in CATALOGUE.items():
        policy = verb.policy
        cells = (
            policy.scope or "-",
            "yes" if policy.compares_body else "no",
            "yes" if policy.keeps_refusals else "no",
            policy.replay.name.lower() if policy.scope else "-",
            policy.in_flight.name.lower() if policy.scope else "-",
            "yes" if policy.audits_refusals else "no",
        )
        lines.append(f"| `{command.__name__}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _roles() -> str:
    lines = [
        "# Roles\n",
        _NOTE + "What the people who run the desk may do, by the roles that they have; several roles add up.\n",
        f"| duty | {' | '.join(ROLES)} | meaning |",
        "| --- |" + " --- |" * (len(ROLES) + 1),
    ]
    for duty, meaning in DUTIES.items():
        cells = " | ".join("yes" if duty in carried else "" for carried in ROLES.values())
        lines.append(f"| `{duty}` | {cells} | {meaning} |")
    return "\n".join(lines) + "\n"


def _metrics() -> str:
    lines = ["# Metrics\n", _NOTE + "| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for figure in FIGURES:
        labels = ", ".join(f"`{label}`" for label in figure.labels) or "-"
        lines.append(f"| `{figure.told_name}` | {figure.kind.value} | {labels} | {figure.meaning} |")
    return "\n".join(lines) + "\n"


def _lifecycles() -> str:
    parts = ["# Lifecycles\n", _NOTE.rstrip("\n") + "\n"]
    for product, lifecycle in LIFECYCLES.items():
        for machine in dict.fromkeys(lifecycle.machines.values()):
            sides = " and ".join(side for side, its in lifecycle.machines.items() if its is machine)
            parts.append(f"## {product.capitalize()}, {sides}\n\n```mermaid\n{machine.diagram()}\n```\n")
    return "\n".join(parts)
