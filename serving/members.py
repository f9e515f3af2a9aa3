"""The shop's server tells who a visitor turned out to be, and which member is to be forgotten."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict

from serving.schemas import Id
from serving.watched import WatchedFeed

PathId = Annotated[Id, Path()]


class IdentifyBody(BaseModel):
    """Who the visitor turned out to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    member_id: Id


class Identified(BaseModel):
    """Whether that is new: false if the visitor was that member already."""

    new: bool


class Erased(BaseModel):
    """All that happened until this instant is forgotten."""

    until: AwareDatetime


def routes(
    feed: Callable[[], WatchedFeed],
    now: Callable[[], int],
    *,
    future_seconds: float,
    forget: Callable[[str], None],
) -> APIRouter:
    """Both change what the next request gets, in every worker. `now` in microseconds.

    forget: makes others forget a member, too; it may wait for a database.
    """
    router = APIRouter()

    @router.post("/v1/visitors/{visitor_id:path}/identify")
    async def post_identify(visitor_id: PathId, body: IdentifyBody) -> Identified:
        """A visitor's session becomes the member's: what was done before, and what is to come."""
        new = await feed().feed.identify(
            visitor_id, body.member_id, event_id=f"identify-{uuid4().hex}", now=now()
        )
        return Identified(new=new)

    @router.delete("/v1/members/{member_id:path}")
    async def delete_member(member_id: PathId) -> Erased:
        """A member is a stranger from now on, and gets no more messages; the next drain takes them
        out of the dataset. After an error send it again."""
        at = now()
        # an event that was accepted already may carry an instant that is still to come
        until = at + round(future_seconds * 1_000_000)
        await feed().feed.erase(member_id, event_id=f"erase-{uuid4().hex}", until=until, now=at)
        await feed().hear()
        await asyncio.to_thread(forget, member_id)
        return Erased(until=datetime.fromtimestamp(until / 1_000_000, UTC))

    return router
