"""The offers dialect: white-label brokerage. So far its callbacks."""
