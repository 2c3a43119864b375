"""The outside world behind small protocols: where prices, balances and transfers come from."""
