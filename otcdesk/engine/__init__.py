"""The batch engine: takes all waiting commands together, loads, decides, saves and answers. Knows no product."""
