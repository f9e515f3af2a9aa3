"""POST /v1/feedback/{provider}: what providers tell of messages. The signature is the key."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from pydantic import BaseModel

from campaigns.answering import answering
from campaigns.ledger.feedback import hear
from campaigns.run import Composition
from campaigns.ways_in.feedback.provider import providers
from campaigns.ways_in.feedback.readers import fetch_certificate, readers
from campaigns.ways_in.feedback.received import Fetch, Received, RefusedError

MOST_BYTES = 1_000_000
_AGAIN = "the ledger cannot be reached now; nothing was recorded: send it again"

Name = Annotated[str, Path(max_length=40)]


class FeedbackAnswer(BaseModel):
    """What became of the events; all were signed, and sending them again would change nothing."""

    recorded: int
    known: int
    """they came before"""
    strange: int
    """about no message of ours: nothing was written"""


async def _body(request: Request) -> bytes:
    """413 for one that is larger than any provider's."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"a body has at most {MOST_BYTES:,} bytes")
    return body


def routes(composition: Composition, *, fetch: Fetch = fetch_certificate) -> APIRouter:
    """The route; SettingsError for a provider that is not set up whole."""
    router = APIRouter()
    settings = composition.settings
    known = providers(settings.feedback, folder=composition.folder, public_url=settings.public_url)
    read = readers(known, fetch=fetch)

    @router.post("/v1/feedback/{provider}", status_code=202)
    def post_feedback(
        provider: Name, request: Request, body: Annotated[bytes, Depends(_body)]
    ) -> FeedbackAnswer:
        """Record what a provider tells of messages of ours, once it is proven to be that one."""
        if provider not in read:
            raise HTTPException(404, "no such provider; see GUESSLIKE_CAMPAIGNS__FEEDBACK")
        now = composition.now()
        received = Received(request.headers, body, request.url.query)
        try:
            events = list(read[provider](received, now))
        except RefusedError as error:
            raise HTTPException(error.status, error.detail) from None
        if not events or not composition.ledger_exists():
            return FeedbackAnswer(recorded=0, known=0, strange=len(events))
        with answering(composition, instead=_AGAIN) as ledger:
            heard = hear(ledger, provider, events, now=now)
        return FeedbackAnswer(recorded=heard.new, known=heard.known, strange=heard.strange)

    return router
