"""`python -m otcdesk` is the `otcdesk` command."""

from otcdesk.cli import main

main()
