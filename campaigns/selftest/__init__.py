"""Kills senders at every step over a provider that fails, and counts what reached whom."""
