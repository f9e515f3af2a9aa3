"""A server small enough to know every answer of, for the load generator's own tests."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, FastAPI, Query, Response

SHORT = "short"
"""this member's list lacks an item"""
SLOW = "slow"
"""this member's list takes a tenth of a second"""


def create_app(clock: str) -> FastAPI:
    assert clock
    router = APIRouter()
    taken: list[object] = []

    @router.get("/v1/recommendations")
    async def recommendations(
        placement: str, member_id: str, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> Response:
        if member_id == SLOW:
            await asyncio.sleep(0.1)
        count = limit - 1 if member_id == SHORT else limit
        items = [{"product_id": f"{member_id}-{i}"} for i in range(count)]
        return Response(msgspec.json.encode({"items": items}), media_type="application/json")

    @router.post("/v1/events", status_code=202)
    async def events(batch: dict[str, list[dict[str, str]]]) -> dict[str, int]:
        taken.extend(batch["events"])
        return {"accepted": len(batch["events"])}

    @router.get("/taken")
    async def what_was_taken() -> list[object]:
        return taken

    app = FastAPI()
    app.include_router(router)
    return app
