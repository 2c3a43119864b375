"""Edges: HTTP in, HTTP out. Each dialect translates between its wire and the core; none decides anything."""
