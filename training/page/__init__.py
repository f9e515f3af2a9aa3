"""`evaluate --html`: what an evaluation found, on one page that a person can read."""

from training.page.page import write

__all__ = ["write"]
