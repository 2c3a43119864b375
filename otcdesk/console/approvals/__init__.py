"""Orders that wait to be approved, and everything that waits for a second person."""
