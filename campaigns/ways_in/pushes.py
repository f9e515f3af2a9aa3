"""POST and DELETE /v1/pushes: another sender takes a member's slot under the common cap."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from campaigns.answering import answering
from campaigns.ledger.identity import ChannelName
from campaigns.ledger.ledger import wake
from campaigns.ledger.pushes import Barred, Push, drop_slot, take_slot
from campaigns.run import Composition

_AGAIN = (
    "sending is closed, or the ledger cannot be reached now; no slot was taken or given back: do "
    "not send, ask again later"
)
WORDS = {
    "capped": "the member or the contact point was pushed to too recently; see free_at",
    "suppressed": "the member or the contact point must not be reached any more",
    "no_consent": "the member has not agreed to this channel",
    "no_contact": "the ledger has no contact point of the member on this channel",
    "push_differs": "this push_id took a slot for another member or channel",
    "over": "this push_id took a slot whose time is over; it counts as sent",
    "followed": "a later push counts from this one; it stays",
}

Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\n\x00]*[^\s\x00][^\n\x00]*$")]
PushId = Annotated[str, Path(min_length=1, max_length=128)]


class PushBody(BaseModel):
    """What is about to be sent, by another system than this one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    push_id: Id
    """yours; makes asking again harmless"""
    member_id: Id
    channel: ChannelName
    source: Id
    """the name of the system that sends it"""
    consent: bool = True
    """false for a message that the member need not have agreed to"""


class PushAnswer(BaseModel):
    """The slot is taken: the week counts from `until`."""

    push_id: str
    until: datetime
    """by then the call has to have ended; do not begin one that may not"""
    new: bool
    """false where the same push took the slot before"""


class PushGone(BaseModel):
    """The slot is free, as if the push had never been."""

    push_id: str


class PushRefusal(BaseModel):
    """Nothing was taken: do not send."""

    detail: str
    reason: str
    """for programs"""
    free_at: datetime | None
    """when the cap allows it"""


def routes(composition: Composition) -> APIRouter:
    """The two routes. Who may ask is decided before them."""
    router = APIRouter()
    settings = composition.settings

    @router.post("/v1/pushes", response_model=PushAnswer, responses={409: {"model": PushRefusal}})
    def post_push(body: PushBody) -> PushAnswer | JSONResponse:
        """Take a member's slot for a push that another system makes now, or say why not."""
        push = Push(body.push_id, body.member_id, body.channel, body.source, body.consent)
        with answering(composition, instead=_AGAIN) as ledger:
            now = composition.now()
            wake(ledger, now=now, max_idle_days=settings.max_idle_days)
            until = now + timedelta(seconds=settings.call_seconds)
            found = take_slot(ledger, push, cap=settings.frequency_cap, now=now, until=until)
        if isinstance(found, Barred):
            return _refusal(found)
        return PushAnswer(push_id=body.push_id, until=found.until, new=found.new)

    @router.delete(
        "/v1/pushes/{push_id:path}",
        response_model=PushGone,
        responses={409: {"model": PushRefusal}},
    )
    def delete_push(push_id: PushId) -> PushGone | JSONResponse:
        """Give a slot back, for the message was surely not sent. If in doubt, leave it taken."""
        with answering(composition, instead=_AGAIN) as ledger:
            found = drop_slot(ledger, push_id)
        if found is None:
            raise HTTPException(404, "no push with this id took a slot")
        if found == "followed":
            return _refusal(Barred(found))
        return PushGone(push_id=push_id)

    return router


def _refusal(found: Barred) -> JSONResponse:
    said = PushRefusal(detail=WORDS[found.reason], reason=found.reason, free_at=found.free_at)
    return JSONResponse(said.model_dump(mode="json"), 409)
