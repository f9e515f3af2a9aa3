"""Whether a lift report's numbers hold, on shops whose truth is known."""
