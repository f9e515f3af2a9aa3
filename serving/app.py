"""The HTTP service: recommendations, coupons and events of one worker process."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from recsys.coupons import Terms
from recsys.errors import FeedError
from serving import coupons, health, openapi
from serving.body_limit import BodyLimit
from serving.counting import Counting
from serving.doors import access, middleware
from serving.doors.door import Doors
from serving.doors.routes import routes as door_routes
from serving.feed import check_numbers, open_feed
from serving.feed.contract import Event, RecentEvent
from serving.metrics import Metrics
from serving.models import Published
from serving.process import STOPPING
from serving.recommend import Request as Wanted
from serving.recommend import recommend
from serving.schemas import (
    Accepted,
    Coupons,
    EventBody,
    EventsBody,
    Id,
    Problem,
    Recommendations,
    RecommendBody,
)
from serving.settings import ServingSettings
from serving.watched import WatchedFeed
from serving.wording import language_of

log = logging.getLogger(__name__)

RECENT_EVENTS = 30
"""of one member, brought by one trip to the feed"""
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Service:
    """What the composition hands in."""

    models: Path
    feed_url: str
    settings: ServingSettings
    terms: Terms
    now: Callable[[], datetime]
    folder: Path | None = None
    """where keys and signing secrets lie; without one there are none, and the doors are open"""


class _Live:
    """What is open while the service runs."""

    def __init__(self, published: Published, feed: WatchedFeed) -> None:
        self.published = published
        self.feed = feed

    async def recent(
        self, member: str | None, visitor: str | None, request_id: str
    ) -> list[RecentEvent]:
        """The member's events that the model does not contain; none where the feed fails."""
        subject = f"m:{member}" if member else f"v:{visitor}" if visitor else None
        if subject is None:
            return []
        model = self.published.ranker.model
        about = {"request_id": request_id, "model_version": model.version}
        return await self.feed.recent(
            subject, after=model.feed_sequences, limit=RECENT_EVENTS, about=about
        )


def create_app(service: Service) -> FastAPI:
    """The service; models and feed are opened when it starts."""
    settings = service.settings
    metrics = Metrics()
    doors = Doors(service.folder, settings.doors, service.now)
    live: _Live

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        nonlocal live
        if doors.are_open:
            log.warning("the doors are open: no key was ever made (guesslike keys add)")
        feed = await open_feed(service.feed_url, shards=settings.feed_shards)
        try:
            for warning in feed.warnings:
                log.warning("feed: %s", warning)
            published = Published(
                service.models, accept=partial(check_numbers, feed), seen=metrics.model_seen
            )
            await check_numbers(feed, published.ranker.model)
            live = _Live(published, WatchedFeed(feed, metrics))
            # compiled by the ranker; what else a first list does once is done by this one
            recommend(published.ranker, _anybodys_list(microseconds(), settings), [])
            following = asyncio.create_task(live.published.follow(settings.reload_seconds))
            app.state.unready = None
            yield
            app.state.unready = STOPPING
            following.cancel()
        finally:
            await feed.close()

    app = FastAPI(title="Guesslike", lifespan=lifespan, responses=_PROBLEMS)
    app.state.unready = "starting: the model is not read and compiled yet"
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    middleware.add(app, doors)
    app.add_middleware(Counting, metrics=metrics)  # the last one added is the outermost
    openapi.name_bearer(app)
    app.include_router(door_routes(doors, service.now))
    app.add_exception_handler(access.DeniedError, _denied)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(_RefusedError, _refused)
    app.add_exception_handler(FeedError, _unavailable)

    def microseconds() -> int:
        return round(service.now().timestamp() * 1_000_000)

    async def answer(wanted: Wanted, visitor_id: str | None, product_id: str | None) -> Response:
        if wanted.limit > settings.max_limit:
            raise _RefusedError("limit", f"limit is at most {settings.max_limit}")
        if wanted.placement == "product" and product_id is None:
            raise _RefusedError("product_id", "placement product needs a product_id")
        ranker, request_id = live.published.ranker, uuid.uuid4().hex
        recent = await live.recent(wanted.member_id, visitor_id, request_id)
        items = recommend(ranker, wanted, recent)
        metrics.listed(wanted.placement, len(items), wanted.limit)
        return _json(Recommendations(request_id, ranker.model.version, items))

    def seeds(placement: str, product_id: str | None, cart: list[str]) -> list[str]:
        if placement == "product" and product_id is not None:
            return [product_id]
        return cart if placement == "cart" else []

    def hidden(exclude: list[str], product_id: str | None, cart: list[str]) -> list[str]:
        # what the page or the cart shows already is no proposal, whatever the placement
        return [*exclude, *cart, product_id] if product_id else exclude + cart

    @app.get("/v1/recommendations", responses=openapi.of(Recommendations))
    async def get_recommendations(
        request: Request,
        member_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        visitor_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        placement: Literal["home", "product", "cart"] = "home",
        product_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        cart: Annotated[list[Id], Query(max_length=100)] = [],  # noqa: B006
        exclude: Annotated[list[Id], Query(max_length=500)] = [],  # noqa: B006
        limit: Annotated[int, Query(ge=1)] = 20,
        accept_language: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Ranked products for a member, a visitor, or anybody."""
        member_id, visitor_id = access.subject(request.scope, member_id, visitor_id)
        wanted = Wanted(
            member_id=member_id,
            placement=placement,
            seeds=seeds(placement, product_id, cart),
            excluded=hidden(exclude, product_id, cart),
            limit=limit,
            now=microseconds(),
            rest_hours=settings.rest_hours,
            language=language_of(accept_language),
        )
        return await answer(wanted, visitor_id, product_id)

    @app.post("/v1/recommendations", responses=openapi.of(Recommendations))
    async def post_recommendations(
        body: RecommendBody,
        request: Request,
        accept_language: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The same with the ids in the body, for addresses end up in logs."""
        member_id, visitor_id = access.subject(request.scope, body.member_id, body.visitor_id)
        wanted = Wanted(
            member_id=member_id,
            placement=body.placement,
            seeds=seeds(body.placement, body.product_id, body.cart),
            excluded=hidden(body.exclude, body.product_id, body.cart),
            limit=body.limit,
            now=microseconds(),
            rest_hours=settings.rest_hours,
            language=language_of(accept_language),
        )
        return await answer(wanted, visitor_id, body.product_id)

    @app.get("/v1/coupons", responses=openapi.of(Coupons))
    async def get_coupons(
        request: Request,
        member_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 3,
        accept_language: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The coupons that a member can use now, the one worth most first."""
        member_id, _ = access.subject(request.scope, member_id, None)
        if member_id is None:
            raise _RefusedError("member_id", "coupons need a member_id, or a member's token")
        model = live.published.ranker.model
        now = service.now().timestamp() / 86_400
        language = language_of(accept_language)
        items = coupons.offers(
            model, member_id, service.terms, limit=limit, now=now, language=language
        )
        return _json(Coupons(uuid.uuid4().hex, model.version, items))

    @app.post("/v1/events")
    async def post_events(body: EventsBody, request: Request) -> Accepted:
        """Accept events; each counts on that member's next request."""
        if len(body.events) > settings.max_events:
            raise _RefusedError("events", f"at most {settings.max_events} events in one batch")
        now = microseconds()
        latest = now + settings.future_seconds * 1_000_000
        events = access.events(request.scope, [_event(event) for event in body.events])
        for at, event in enumerate(events):
            if event.occurred_at > latest:
                raise _RefusedError(
                    f"events.{at}.occurred_at",
                    f"is more than {settings.future_seconds:g} s in the future",
                )
        stored = await live.feed.append(events, now=now)
        return Accepted(accepted=stored.new, duplicates=stored.duplicates)

    app.include_router(
        health.routes(lambda: app.state.unready, lambda: live, metrics=metrics, now=service.now)
    )
    return app


class _RefusedError(Exception):
    """A request that the schema lets through and the service does not."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(detail=detail, field=field)


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem},
    403: {"model": Problem},
    413: {"model": Problem},
    422: {"model": Problem},
    429: {"model": Problem},
    503: {"model": Problem},
}


def _json(body: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(body), media_type=JSON)


def _event(body: EventBody) -> Event:
    facts = body.model_dump(exclude={"occurred_at"})
    return Event(occurred_at=round(body.occurred_at.timestamp() * 1_000_000), **facts)


def _problem(status: int, problem: Problem) -> Response:
    return Response(problem.model_dump_json(), status_code=status, media_type=JSON)


def _anybodys_list(now: int, settings: ServingSettings) -> Wanted:
    return Wanted(
        member_id=None,
        placement="home",
        seeds=[],
        excluded=[],
        limit=1,
        now=now,
        rest_hours=settings.rest_hours,
    )


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = Problem(detail=error.detail).model_dump_json()
    return Response(problem, error.status_code, error.headers, media_type=JSON)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":  # its place is a position, not a field
        detail = f"the body is not JSON: {first['ctx']['error']} at character {first['loc'][1]}"
        return _problem(422, Problem(detail=detail))
    field = ".".join(str(part) for part in first["loc"][1:])
    return _problem(422, Problem(detail=first["msg"], field=field or None))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, _RefusedError)
    return _problem(422, error.problem)


async def _denied(request: Request, error: Exception) -> Response:
    assert isinstance(error, access.DeniedError)
    return _problem(error.status, Problem(detail=error.detail))


async def _unavailable(request: Request, error: Exception) -> Response:
    return _problem(503, Problem(detail="the feed cannot be reached now; send it again"))
