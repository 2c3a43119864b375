"""The ramp dialect: sell crypto, pay out fiat. So far its callbacks."""
