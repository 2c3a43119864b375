"""Tenants and their parties: what they have, what they may do, and by which keys they call."""
