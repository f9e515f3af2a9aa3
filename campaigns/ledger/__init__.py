"""The promises: who consented, what was sent, and what may still be sent."""
