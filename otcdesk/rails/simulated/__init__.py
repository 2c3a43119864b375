"""Simulated rails: deterministic, steered by the lane's faults; the embedded default and every test's counterpart."""
