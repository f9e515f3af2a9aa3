"""Answers now: recommendations and coupons over HTTP, from a model and the feed."""
