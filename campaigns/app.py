"""What is reached over HTTP: the page behind the link in every message, preferences, and what a
checkout reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import HTMLResponse

from campaigns import preferences, redemptions
from campaigns.answering import answering
from campaigns.ledger.consent import suppress
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import reached
from campaigns.run import Composition
from campaigns.ways_in import pushes
from campaigns.ways_in.feedback import routes as feedback

Token = Annotated[str, Path(max_length=128)]

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<body style="font: 1.1rem system-ui; max-width: 30rem; margin: 4rem auto; padding: 0 1rem">
<h1>{title}</h1>{body}
"""
_ASK = _PAGE.format(
    title="No more of these?",
    body='<form method="post"><button style="font: inherit">Stop all messages</button></form>',
)
_DONE = _PAGE.format(title="Done", body="<p>You will get no more messages from us.</p>")


def routes(composition: Composition) -> APIRouter:
    """GET and POST /u/{token}, preferences and redemptions. Of a link only POST acts: mail scanners
    open every one (RFC 8058)."""
    router = APIRouter()
    router.include_router(preferences.routes(composition))
    router.include_router(redemptions.routes(composition))
    router.include_router(feedback.routes(composition))
    router.include_router(pushes.routes(composition))

    @router.get("/u/{token}", include_in_schema=False)
    def ask(token: Token) -> HTMLResponse:
        """A page that asks once more."""
        with _opened(composition) as ledger:
            _keys(ledger, token)
        return HTMLResponse(_ASK)

    @router.post("/u/{token}", include_in_schema=False)
    def stop(token: Token) -> HTMLResponse:
        """Never again to this member, nor to this contact point. The same again changes nothing."""
        with _opened(composition) as ledger:
            keys = _keys(ledger, token)
            suppress(ledger, keys, reason="unsubscribed", now=composition.now())
        return HTMLResponse(_DONE)

    return router


@contextmanager
def _opened(composition: Composition) -> Iterator[Ledger]:
    if not composition.ledger_exists():
        raise _unknown()
    again = "this cannot be recorded now; open the link again later"
    with answering(composition, instead=again) as ledger:
        yield ledger


def _keys(ledger: Ledger, token: str) -> list[str]:
    send_id = ledger.identity.send_of(token)
    keys = reached(ledger, send_id) if send_id else []
    if not keys:
        raise _unknown()
    return keys


def _unknown() -> HTTPException:
    return HTTPException(404, "this link is none of ours; copy it whole from the message")
