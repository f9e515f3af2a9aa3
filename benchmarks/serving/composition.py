"""Guesslike as it is served, for the server under test. Imported only there."""

import os

from fastapi import FastAPI

import composition


def create_app(clock: str) -> FastAPI:
    """What `guesslike serve --clock INSTANT` serves, under the environment's settings."""
    settings = composition.load_settings(dict(os.environ))
    return composition.serving_composition(settings).app(composition.clock(clock), simulated=True)
