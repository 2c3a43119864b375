"""The operator's console: server-rendered pages over the same actions as every dialect.

A section is a package: its routes, what it reads, and the forms that become commands. `dialect.py` says who may open
which page and in what order things are checked; `page.py` how a page is put together.
"""
