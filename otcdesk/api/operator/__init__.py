"""The operator's own routes: approving, unwinding and booking, with credentials of their own."""
