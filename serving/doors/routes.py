"""POST /v1/tokens: the shop's server asks for a token that its page hands to the browser."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from serving.doors.access import CALLER
from serving.doors.door import Doors
from serving.doors.tokens import Claims
from serving.schemas import Id


class TokenBody(BaseModel):
    """For whom, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    member_id: Id | None = None
    visitor_id: Id | None = None
    ttl: Annotated[int, Field(ge=1)] | None = None
    """seconds; the longest that the service gives if it is left out"""

    @model_validator(mode="after")
    def _is_for_one(self) -> "TokenBody":
        if (self.member_id is None) == (self.visitor_id is None):
            raise ValueError("a token is for a member_id or a visitor_id: give one of the two")
        return self


class Token(BaseModel):
    """What the browser sends as Authorization: Bearer."""

    token: str
    expires_at: AwareDatetime


def routes(doors: Doors, now: Callable[[], datetime]) -> APIRouter:
    """The one route. The table of access lets only the shop's server in."""
    router = APIRouter()
    longest = doors.settings.token_seconds

    @router.post("/v1/tokens")
    async def post_tokens(body: TokenBody, request: Request, response: Response) -> Token:
        """A short-lived token for one member's or visitor's browser."""
        ttl = body.ttl or longest
        if ttl > longest:
            raise HTTPException(422, f"ttl is at most {longest} seconds here")
        expires = math.ceil(now().timestamp()) + ttl
        token = doors.sign(
            Claims(
                subject="visitor" if body.member_id is None else "member",
                id=body.member_id or body.visitor_id or "",
                expires=expires,
                audience=doors.settings.token_audience,
                issuer=request.scope[CALLER].key_id,
            )
        )
        if token is None:
            raise HTTPException(503, "this process has no folder to keep a signing secret in")
        response.headers["cache-control"] = "no-store"
        return Token(token=token, expires_at=datetime.fromtimestamp(expires, UTC))

    return router
