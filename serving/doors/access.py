"""What a caller may see and record: a token its own member's, a publishable key nobody's."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from serving.doors.rules import SHOP, Kind
from serving.feed.contract import Event

CALLER = "guesslike.caller"
"""the key of a request's scope"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    kind: Kind
    key_id: str = ""
    subject: Literal["member", "visitor"] | None = None
    id: str = ""
    """of the subject: whom a token is for"""


class DeniedError(Exception):
    """What is answered instead: 401, 403 or 429. The message names the mend, and nobody's id."""

    def __init__(self, detail: str, status: int = 403, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.detail, self.status, self.headers = detail, status, headers


def subject(
    scope: MutableMapping[str, Any], member_id: str | None, visitor_id: str | None
) -> tuple[str | None, str | None]:
    """The member and the visitor that a request is about; a token's own if it names neither.

    Raises DeniedError for somebody else's.
    """
    caller: Caller = scope[CALLER]
    return _subject(caller, member_id, visitor_id)


def _subject(
    caller: Caller, member_id: str | None, visitor_id: str | None
) -> tuple[str | None, str | None]:
    if caller.kind in SHOP:
        return member_id, visitor_id
    if caller.kind == "token":
        own = (caller.id, None) if caller.subject == "member" else (None, caller.id)
        if member_id not in (None, own[0]) or visitor_id not in (None, own[1]):
            raise DeniedError(
                f"this token is for one {caller.subject} and the request names another: leave "
                "member_id and visitor_id out, or ask with that one's token"
            )
        return own
    if member_id is not None or visitor_id is not None:
        raise DeniedError(
            "a publishable key opens nothing personal: leave member_id and visitor_id out, or ask "
            "with a member token, which your server gets from POST /v1/tokens"
        )
    return None, None


def events(scope: MutableMapping[str, Any], given: Sequence[Event]) -> list[Event]:
    """What may be recorded of a batch: all of it, or DeniedError."""
    caller: Caller = scope[CALLER]
    if caller.kind in SHOP:
        return list(given)
    return [_from_browser(caller, event) for event in given]


def _from_browser(caller: Caller, event: Event) -> Event:
    # A namespace of their own: an event under the id of an order, sent before the server's own,
    # would make that one a duplicate.
    event_id = f"browser:{event.event_id}"
    if caller.kind == "token":
        member, visitor = _subject(caller, event.member_id, event.visitor_id)
        return replace(event, event_id=event_id, member_id=member, visitor_id=visitor)
    if event.member_id is not None:
        raise DeniedError(
            "a publishable key records for visitors only: leave member_id out, or send the event "
            "with a member token or from your server"
        )
    if event.kind in ("purchase", "return"):
        raise DeniedError(
            f"a publishable key, which everybody can read, records no {event.kind}: send it from "
            "your server, or with a member token"
        )
    return replace(event, event_id=event_id)
