"""GET and POST /u/{token}: behind the link in every message, to stop all or a channel.

Of a link only POST acts: mail scanners open every one (RFC 8058). It needs no login, no cookie and
no JavaScript.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request
from fastapi.responses import HTMLResponse

from campaigns.answering import answering
from campaigns.ledger.choosing import choices, choose
from campaigns.ledger.consent import suppress
from campaigns.ledger.ledger import Ledger
from campaigns.run import Composition
from campaigns.ways_in.wording import page, words_for

Token = Annotated[str, Path(max_length=128)]
Language = Annotated[str, Header(alias="accept-language")]
_HEADERS = {
    "Cache-Control": "no-store",
    "Vary": "Accept-Language",
    "Referrer-Policy": "no-referrer",  # the address is the member's key to the page
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
}


async def _form(request: Request) -> Mapping[str, list[str]]:
    """What a form of the page says; nothing for what a mail program posts."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return parse_qs((await request.body()).decode("latin-1"))


def routes(composition: Composition) -> APIRouter:
    """The two routes. Anybody may ask: the token is the key."""
    router = APIRouter()

    @router.get("/u/{token}", include_in_schema=False)
    def ask(token: Token, language: Language = "") -> HTMLResponse:
        """A page that asks once more."""
        words = words_for(language)
        with opened(composition) as ledger:
            found = choices(ledger, _send_id(ledger, token))
        if found is None:
            raise unknown()
        if found.stopped:
            return shown(words, title=words["done"], said=words["stopped"])
        return shown(words, title=words["leave"], leave=found.channels)

    @router.post("/u/{token}", include_in_schema=False)
    def act(
        token: Token, form: Annotated[Mapping[str, list[str]], Depends(_form)],
        language: Language = "",
    ) -> HTMLResponse:  # fmt: skip
        """Stops all, to this member and this contact point; or the channels that were not chosen.

        Whatever is posted that is not the form of channels stops all. The same again changes
        nothing."""
        words, now = words_for(language), composition.now()
        with opened(composition) as ledger:
            send_id = _send_id(ledger, token)
            if form.get("choice") == ["channels"]:
                found = choose(ledger, send_id, form.get("channel", []), now=now)
            else:
                found = choices(ledger, send_id)
                if found is not None:
                    keys = [found.person, found.contact]
                    suppress(ledger, keys, reason="unsubscribed", now=now)
                    found = choices(ledger, send_id)
        if found is None:
            raise unknown()
        if found.stopped:
            return shown(words, title=words["done"], said=words["stopped"])
        said = {"title": words["done"], "said": words["saved"]}
        return shown(words, **said, leave=found.channels)

    return router


def shown(words: Mapping[str, str], **facts: object) -> HTMLResponse:
    """A page that no cache keeps."""
    return HTMLResponse(page(words, **facts), headers=_HEADERS)


@contextmanager
def opened(composition: Composition) -> Iterator[Ledger]:
    """The ledger, if there is one: none is made for a link."""
    if not composition.ledger_exists():
        raise unknown()
    again = "this cannot be recorded now; open the link again later"
    with answering(composition, instead=again) as ledger:
        yield ledger


def unknown() -> HTTPException:
    """For a link that is not whole, or never was."""
    return HTTPException(404, "this link is none of ours; copy it whole from the message")


def _send_id(ledger: Ledger, token: str) -> str:
    send_id = ledger.identity.send_of(token)
    if send_id is None:
        raise unknown()
    return send_id
