"""Books in which everything has happened, copied for each test."""

from tests.storage.conftest import populated_lane, populated_template

__all__ = ["populated_lane", "populated_template"]
