"""The one reader of every lifecycle."""

import pytest

from otcdesk.machine import IllegalMove, Machine

LAMP = Machine(start="off", moves={("off", "press"): "on", ("on", "press"): "off", ("on", "burn_out"): "dead"})


def test_states_events_and_ends_are_read_from_the_table() -> None:
    assert LAMP.states == {"off", "on", "dead"}
    assert LAMP.events == {"press", "burn_out"}
    assert LAMP.ends == {"dead"}


def test_a_move_in_the_table_is_made() -> None:
    assert LAMP.move("off", "press") == "on"
    assert LAMP.allows("on", "burn_out")


@pytest.mark.parametrize("state, event", [("off", "burn_out"), ("dead", "press"), ("nowhere", "press")])
def test_a_move_outside_the_table_raises(state: str, event: str) -> None:
    assert not LAMP.allows(state, event)
    with pytest.raises(IllegalMove, match=f"{event} is not possible in {state}") as caught:
        LAMP.move(state, event)
    assert (caught.value.state, caught.value.event) == (state, event)


def test_a_machine_does_not_change_with_the_table_it_was_made_from() -> None:
    moves = {("a", "go"): "b"}
    machine = Machine(start="a", moves=moves)
    moves["b", "go"] = "a"
    assert not machine.allows("b", "go")


def test_the_diagram_names_every_move() -> None:
    assert LAMP.diagram().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> off",
        "    off --> on: press",
        "    on --> off: press",
        "    on --> dead: burn_out",
        "    dead --> [*]",
    ]
