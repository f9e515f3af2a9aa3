"""What is reached over HTTP: the pages behind the links in messages, preferences, what a checkout
and other senders report, and what providers tell."""

from fastapi import APIRouter

from campaigns import preferences, redemptions
from campaigns.run import Composition
from campaigns.ways_in import confirming, leaving, pushes
from campaigns.ways_in.feedback import routes as feedback


def routes(composition: Composition) -> APIRouter:
    """All of them. Who may ask is decided before them."""
    router = APIRouter()
    for part in (leaving, confirming, preferences, redemptions, pushes, feedback):
        router.include_router(part.routes(composition))
    return router
