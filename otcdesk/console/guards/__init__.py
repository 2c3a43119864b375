"""What guards the desk, and its terms: fees, channels, listings, and what is closed for maintenance."""
