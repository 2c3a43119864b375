"""Verbs: one pure function for each command. Nothing here waits, reads a clock or makes up an id."""
