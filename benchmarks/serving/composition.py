"""Guesslike as it is served, for the server under test. Imported only there."""

import os

from fastapi import FastAPI

import guesslike


def create_app(clock: str) -> FastAPI:
    """What `guesslike serve --clock INSTANT` serves, under the environment's settings."""
    settings = guesslike.load_settings(dict(os.environ))
    return guesslike.serving_composition(settings).app(guesslike.clock(clock), simulated=True)
