"""The market prices of a lane: what feeds say, what people have set, and which of it is in force."""
