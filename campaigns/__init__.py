"""Decides whom to push what, sends it once, and proves it."""
