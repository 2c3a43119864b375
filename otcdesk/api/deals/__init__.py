"""The deals dialect: users of a tokenisation platform resell tokens over the counter."""
