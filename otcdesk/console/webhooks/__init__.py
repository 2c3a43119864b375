"""Webhooks of the desk and of all tenants: made, tried, switched, and what was sent to them."""
