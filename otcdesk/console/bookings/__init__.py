"""The desk's own bookings: money that came from outside or left, and corrections."""
