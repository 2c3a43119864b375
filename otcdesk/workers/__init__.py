"""Loops that claim due work. An order in a waiting state is the work item; outcomes come back as commands."""
