"""Nouns: what the desk's things are. Pure: no clock, no randomness, no input or output."""
