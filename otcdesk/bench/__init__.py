"""The benchmark: server, load and pgbench on one PostgreSQL in one run, reported as a ratio."""
