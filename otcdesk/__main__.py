"""The program's door. Loading it takes half a second, in which Ctrl-C ends it at once and without a word."""

import signal


def main() -> None:
    """Load the command and run it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as an exception it would be shown, or swallowed, amid an import
    from otcdesk.cli import main as run

    run()


if __name__ == "__main__":
    main()
