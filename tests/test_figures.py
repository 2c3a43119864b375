"""Numbers that processes share: read by all, kept when who counted is killed, and never more than there is room for."""

from pathlib import Path

import pytest

from otcdesk.figures import CELLS_MAX, Figures, Full, clear
from otcdesk.metrics import Metrics, forget_process
from tests.test_metrics import value


def told(figures: Figures) -> dict[tuple[str, tuple[str, ...]], list[list[int]]]:
    found: dict[tuple[str, tuple[str, ...]], list[list[int]]] = {}
    for series, cells in figures.all():
        found.setdefault((series.figure, series.labels), []).append(cells)
    return found


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_counted_is_told(tmp_path: Path, shared: bool) -> None:
    figures = Figures(tmp_path if shared else None, 1)
    one, three = figures.place("one", ("a", "b")), figures.place("three", (), 3)
    assert figures.place("one", ("a", "b")) == one
    figures.cells[one] += 2**40
    figures.cells[three + 2] += 7
    assert told(figures) == {("one", ("a", "b")): [[2**40]], ("three", ()): [[0, 0, 7]]}


def test_everybody_reads_what_all_count_and_who_follows_goes_on(tmp_path: Path) -> None:
    first, second = Figures(tmp_path, 1), Figures(tmp_path, 2)
    second.place("other")
    for figures, number in ((first, 3), (second, 4)):
        figures.cells[figures.place("figure")] += number
    expected = {("figure", ()): [[3], [4]], ("other", ()): [[0]]}
    assert told(first) == told(second) == expected
    again = Figures(tmp_path, 1)  # as after a kill: nothing was closed
    again.cells[again.place("figure")] += 1
    assert told(second)["figure", ()] == [[4], [4]]


def test_a_name_that_was_cut_off_is_not_there(tmp_path: Path) -> None:
    figures = Figures(tmp_path, 1)
    figures.cells[figures.place("whole")] = 5
    with (tmp_path / "1.series").open("ab") as file:
        file.write(b'["half",[')
    assert told(figures) == {("whole", ()): [[5]]}


def test_there_is_an_end_to_it(tmp_path: Path) -> None:
    figures = Figures(tmp_path, 1)
    figures.place("large", (), CELLS_MAX)
    with pytest.raises(Full):
        figures.place("one more")
    assert len(told(figures)) == 1


def test_what_is_cleared_is_nothing_and_the_rest_stays(tmp_path: Path) -> None:
    figures = Figures(tmp_path, 1)
    for name in ("past", "present"):
        figures.cells[figures.place(name)] = 9
    clear(tmp_path, 1, frozenset({"present"}))
    clear(tmp_path, 2, frozenset({"present"}))
    assert told(figures) == {("past", ()): [[9]], ("present", ()): [[0]]}


def test_processes_are_added_up_and_the_dead_do_not_lead(tmp_path: Path) -> None:
    one, two = Metrics(1, tmp_path), Metrics(2, tmp_path)
    one.watch_engine(lambda: 3, lambda: True)
    two.watch_engine(lambda: 4, lambda: False)
    for metrics in (one, two):
        metrics.batch({("quote_buy", "done"): 2}, 3_000_000)
        metrics.handed_over({"answered": 5, "not_taken": 0}, 500_000_000)
        metrics.request("exchanges", "GET /otc-exchanges", 200, 999_999)
    two.restarted(1)
    for metrics in (one, two):
        text = metrics.text()
        assert value(text, 'otcdesk_commands_total{command="quote_buy",outcome="done"}') == "4.0"
        assert value(text, "otcdesk_commands_waiting") == "7.0"
        assert value(text, 'otcdesk_handed_over_total{outcome="answered"}') == "10.0"
        assert value(text, "otcdesk_handover_seconds_total") == "1.0"
        assert value(text, 'otcdesk_batch_seconds_bucket{le="0.0025"}') == "0.0"
        assert value(text, 'otcdesk_batch_seconds_bucket{le="0.005"}') == "2.0"
        assert value(text, 'otcdesk_batch_seconds_bucket{le="+Inf"}') == "2.0"
        assert value(text, "otcdesk_batch_seconds_count") == "2.0"
        assert value(text, "otcdesk_batch_seconds_sum") == "0.006"
        assert value(text, 'otcdesk_leads{process="1"}') == "1.0"
        assert value(text, 'otcdesk_process_restarts_total{process="2"}') == "1.0"
    forget_process(tmp_path, 1)
    text = two.text()
    assert value(text, 'otcdesk_leads{process="1"}') == "0.0"
    assert value(text, "otcdesk_commands_waiting") == "4.0"
    assert value(text, 'otcdesk_commands_total{command="quote_buy",outcome="done"}') == "4.0"
