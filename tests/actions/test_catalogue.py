"""The table of commands."""

import importlib
import pkgutil

import otcdesk.actions
from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.domain.commands import Command, Replay, Reply


def every_command() -> set[type[Command]]:
    """Return every command class that an action module defines."""
    found: set[type[Command]] = set()
    for module in pkgutil.iter_modules(otcdesk.actions.__path__):
        loaded = importlib.import_module(f"otcdesk.actions.{module.name}")
        found |= {
            value
            for value in vars(loaded).values()
            if isinstance(value, type) and issubclass(value, Command) and value.__module__ == loaded.__name__
        }
    return found - {shape for command in found for shape in command.__mro__[1:]}  # what several share is no command


def test_every_command_is_in_the_table() -> None:
    assert every_command() == set(CATALOGUE)


def test_names_are_the_actions_and_differ() -> None:
    names = [verb.name for verb in CATALOGUE.values()]
    assert len(set(names)) == len(names)


def test_every_verb_answers_with_a_reply() -> None:
    assert all(issubclass(verb.reply, Reply) for verb in CATALOGUE.values())


def test_a_policy_about_keys_belongs_to_a_command_that_takes_one() -> None:
    for verb in CATALOGUE.values():
        if verb.policy.scope is None:
            assert not verb.policy.compares_body
            assert not verb.policy.keeps_refusals
        if verb.policy.replay is Replay.CURRENT:
            assert verb.current is not None


def test_what_a_key_answers_is_told_to_whom_the_command_is_permitted() -> None:
    """Where a command says what its caller may do, a key that somebody else has used does not lead around that."""
    for command, verb in CATALOGUE.items():
        says = "mandate" in command.__struct_fields__
        assert (verb.permits is not None) == (says and verb.policy.scope is not None), command
