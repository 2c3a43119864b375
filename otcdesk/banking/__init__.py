"""Files for banks, and their statements: how they are written and read, and how the desk uses them."""
