"""The exchanges dialect: EUR <-> USDC conversions on the wire of the OTC exchanges contract."""
