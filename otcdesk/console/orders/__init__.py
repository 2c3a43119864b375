"""Orders of all products: the blotter, the search by any id, and the page of one order."""
