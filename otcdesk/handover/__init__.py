"""How the server processes of a host hand their commands to the one that leads, so that one engine batches for all."""
