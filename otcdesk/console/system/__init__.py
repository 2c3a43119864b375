"""What the desk is doing inside: queue, batches, requests, workers, rails, callbacks and the database."""
