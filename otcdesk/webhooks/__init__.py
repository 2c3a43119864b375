"""Callbacks to clients: who is told what, how it is said and signed, where it may go, and that it arrives."""
