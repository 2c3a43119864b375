"""otcdesk: a self-hosted OTC desk on PostgreSQL."""

__version__ = "0.1.0"
