"""The books: accounts, statements, ledger transactions, their exports, and the checks that prove them."""
