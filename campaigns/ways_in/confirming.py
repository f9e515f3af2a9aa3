"""Double opt-in from end to end: the messages that ask, and GET and POST /c/{token} that answer."""

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Annotated

from fastapi import APIRouter, Header, Path
from fastapi.responses import HTMLResponse

from campaigns.files import sync_folder, write_whole
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.opt_in import Pending, asked, confirm, pending, wording_of
from campaigns.run import Composition
from campaigns.ways_in.leaving import opened, shown, unknown
from campaigns.ways_in.wording import words_for

Token = Annotated[str, Path(max_length=128)]
Language = Annotated[str, Header(alias="accept-language")]


def ask_all(composition: Composition) -> int:
    """Writes the messages that are still to be sent into the outbox folder, each once.

    They are no pushes: they take no slot, and tell of nothing but the question.
    """
    settings, folder = composition.settings, composition.folder / "outbox"
    with composition.open_ledger() as ledger:
        ones = pending(ledger)
        for one in ones:
            link = f"{settings.public_url.rstrip('/')}/c/{ledger.identity.token(one.key)}"
            name = f"confirm-{one.person}-{one.channel}"
            text = _text(one, settings.opt_in_wording, link)
            if one.channel == "email":
                mail = _mail(one, text, name, sender=settings.sender, now=composition.now())
                write_whole(folder / f"{name}.eml", mail.as_bytes(policy=SMTP))
            else:
                write_whole(folder / f"{name}.txt", f"To: {one.address}\n\n{text}".encode())
        if ones:
            sync_folder(folder)
        asked(ledger, ones, wording=settings.opt_in_wording, now=composition.now())
    return len(ones)


def _text(one: Pending, wording: str, link: str) -> str:
    words = words_for(one.language or "")
    return f"{wording}\n\n{words['confirm']}: {link}\n"


def _mail(one: Pending, text: str, name: str, *, sender: str, now: datetime) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = sender, one.address
    mail["Subject"] = words_for(one.language or "")["confirm"]
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{name}@{parseaddr(sender)[1].partition('@')[2]}>"
    mail.set_content(text)
    return mail


def routes(composition: Composition) -> APIRouter:
    """The two routes. Of the link only POST acts: mail scanners open every one."""
    router = APIRouter()

    @router.get("/c/{token}", include_in_schema=False)
    def ask(token: Token, language: Language = "") -> HTMLResponse:
        """A page with the question and a button."""
        words = words_for(language)
        with opened(composition) as ledger:
            wording = wording_of(ledger, _key(ledger, token))
        if wording is None:
            raise unknown()
        return shown(words, title=words["confirm"], agree=wording)

    @router.post("/c/{token}", include_in_schema=False)
    def answer(token: Token, language: Language = "") -> HTMLResponse:
        """The yes counts from now on. The same again changes nothing."""
        words = words_for(language)
        with opened(composition) as ledger:
            found = confirm(ledger, _key(ledger, token), now=composition.now())
        if found is None:
            raise unknown()
        title = words["done"] if found == "confirmed" else words["confirm"]
        return shown(words, title=title, said=words[found])

    return router


def _key(ledger: Ledger, token: str) -> str:
    key = ledger.identity.send_of(token)
    if key is None:
        raise unknown()
    return key
