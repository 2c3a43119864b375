"""Stage what is declared: only what is new or different, and count it."""

from otcdesk.domain.commands import Books
from otcdesk.domain.noun import Noun, as_written


class Tally:
    """Stage rows that are new or different, and count them."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.added = self.changed = 0

    def keep(self, known: Noun | None, wanted: Noun) -> None:
        """Stage a row unless it is known as it is wanted; what a later field does not say is the same either way."""
        if known is None:
            self.books.add(wanted)
            self.added += 1
        elif as_written(known) != as_written(wanted):
            self.books.put(wanted)
            self.changed += 1
