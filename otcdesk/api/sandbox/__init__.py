"""The sandbox routes: isolated worlds with a clock, prices and faults that a test can steer."""
