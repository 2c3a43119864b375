"""The people who run the desk: their roles and sessions, kept by those whose roles carry that."""
