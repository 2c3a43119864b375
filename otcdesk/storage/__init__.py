"""The only place with SQL: named queries, the store behind the engine, migrations, invariants, the embedded server."""
