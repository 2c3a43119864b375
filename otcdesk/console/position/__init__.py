"""Position and P&L: what the desk has, owes and has promised, and what its trades have won."""
