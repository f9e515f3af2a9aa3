"""The HTTP service: recommendations, coupons and events of one worker process."""

import asyncio
import difflib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from threadpoolctl import threadpool_info

from recsys.coupons import Terms
from recsys.errors import FeedError, FilterError, ModelError, SettingsError
from recsys.model import Model
from serving import coupons, openapi
from serving.asking import Request as Wanted
from serving.body_limit import BodyLimit
from serving.feed import Feed, check_numbers, open_feed
from serving.feed.contract import Event, RecentEvent
from serving.models import Published
from serving.placements import Placement
from serving.placements_file import load_placements
from serving.recommend import recommend, recommend_and_trace
from serving.rules import Asked
from serving.schemas import (
    Accepted,
    Coupons,
    EventBody,
    EventsBody,
    FilterText,
    Id,
    Problem,
    Question,
    Ready,
    Recommendations,
    RecommendBody,
)
from serving.settings import ServingSettings

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


class _Live:
    """What is open while the service runs."""

    def __init__(self, published: Published, feed: Feed) -> None:
        self.published = published
        self.feed = feed

    async def recent(self, member: str | None, visitor: str | None) -> list[RecentEvent]:
        """The member's events that the model does not contain; none where the feed fails."""
        subject = f"m:{member}" if member else f"v:{visitor}" if visitor else None
        if subject is None:
            return []
        after = self.published.ranker.model.feed_sequences
        try:
            return (await self.feed.recent(subject, after=after, limit=RECENT_EVENTS)).events
        except FeedError as error:
            log.warning("the feed failed, answering from the model alone: %s", error)
            return []


def create_app(service: Service) -> FastAPI:
    """The service; models and feed are opened when it starts."""
    settings = service.settings
    live: _Live

    places = load_placements(settings.placements)
    placements = places.named

    async def accept(feed: Feed, model: Model) -> None:
        await check_numbers(feed, model)
        try:
            places.check(model)
        except SettingsError as error:
            raise ModelError(str(error)) from error

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        nonlocal live
        feed = await open_feed(service.feed_url, shards=settings.feed_shards)
        try:
            for warning in feed.warnings:
                log.warning("feed: %s", warning)
            published = Published(service.models, accept=partial(accept, feed))
            await accept(feed, published.ranker.model)
            live = _Live(published, feed)
            following = asyncio.create_task(live.published.follow(settings.reload_seconds))
            yield
            following.cancel()
        finally:
            await feed.close()

    app = FastAPI(title="Guesslike", lifespan=lifespan, responses=_PROBLEMS)
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(_RefusedError, _refused)
    app.add_exception_handler(FeedError, _unavailable)

    def microseconds() -> int:
        return round(service.now().timestamp() * 1_000_000)

    async def answer(asked: Question) -> Response:
        place = placements.get(asked.placement)
        if place is None:
            raise _RefusedError("placement", _unknown_placement(asked.placement, placements))
        ranker = live.published.ranker
        recent = await live.recent(asked.member_id, asked.visitor_id)
        wanted = Wanted(
            member_id=asked.member_id,
            placement=place,
            seeds=_seeds(place, asked),
            excluded=asked.exclude,
            limit=_limit(place, asked, settings.max_limit),
            now=microseconds(),
            rest_hours=settings.rest_hours if place.rest_hours is None else place.rest_hours,
            # what the page or the cart shows already is no proposal, whatever the placement
            shown=[*asked.cart, asked.product_id] if asked.product_id else asked.cart,
            asked=Asked(asked.filter, asked.region),
            candidates=_candidates(place, asked),
        )
        debug = None
        try:
            if asked.debug:
                items, debug = recommend_and_trace(ranker, wanted, recent)
            else:
                items = recommend(ranker, wanted, recent)
        except FilterError as error:  # the placements' own filters were tried at the start
            raise _RefusedError("filter", str(error)) from None
        return _json(Recommendations(uuid.uuid4().hex, ranker.model.version, items, debug))

    @app.get("/v1/recommendations", responses=openapi.of(Recommendations))
    async def get_recommendations(
        member_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        visitor_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        placement: Annotated[str, Query(min_length=1, max_length=64)] = "home",
        product_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        cart: Annotated[list[Id], Query(max_length=100)] = [],  # noqa: B006
        exclude: Annotated[list[Id], Query(max_length=500)] = [],  # noqa: B006
        filter: Annotated[FilterText | None, Query()] = None,  # noqa: A002
        region: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        debug: bool = False,
    ) -> Response:
        """Ranked products for a member, a visitor, or anybody."""
        return await answer(
            Question(
                member_id,
                visitor_id,
                placement,
                product_id,
                cart,
                exclude,
                None,
                filter,
                region,
                limit,
                debug,
            )
        )

    @app.post("/v1/recommendations", responses=openapi.of(Recommendations))
    async def post_recommendations(body: RecommendBody) -> Response:
        """The same with the ids in the body, for addresses end up in logs."""
        return await answer(Question(**dict(body)))

    @app.get("/v1/coupons", responses=openapi.of(Coupons))
    async def get_coupons(
        member_id: Annotated[str, Query(min_length=1, max_length=128)],
        limit: Annotated[int, Query(ge=1, le=50)] = 3,
    ) -> Response:
        """The coupons that a member can use now, the one worth most first."""
        model = live.published.ranker.model
        now = service.now().timestamp() / 86_400
        items = coupons.offers(model, member_id, service.terms, limit=limit, now=now)
        return _json(Coupons(uuid.uuid4().hex, model.version, items))

    @app.post("/v1/events")
    async def post_events(body: EventsBody) -> Accepted:
        """Accept events; each counts on that member's next request."""
        if len(body.events) > settings.max_events:
            raise _RefusedError("events", f"at most {settings.max_events} events in one batch")
        now = microseconds()
        latest = now + settings.future_seconds * 1_000_000
        events = [_event(event) for event in body.events]
        for at, event in enumerate(events):
            if event.occurred_at > latest:
                raise _RefusedError(
                    f"events.{at}.occurred_at",
                    f"is more than {settings.future_seconds:g} s in the future",
                )
        stored = await live.feed.append(events, now=now)
        return Accepted(accepted=stored.new, duplicates=stored.duplicates)

    @app.get("/livez")
    async def livez() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @app.get("/readyz")
    async def readyz() -> Ready:
        """The service can answer from a model, and how."""
        model = live.published.ranker.model
        return Ready(
            ready=True,
            model_version=model.version,
            model_as_of=model.manifest["as_of"],
            feed=type(live.feed).__name__,
            feed_warnings=list(live.feed.warnings),
            blas_threads=max(_blas_threads(), default=1),
        )

    return app


class _RefusedError(Exception):
    """A request that the schema lets through and the service does not."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(detail=detail, field=field)


def _seeds(place: Placement, asked: Question) -> list[str]:
    if place.kind == "product":
        if asked.product_id is None:
            raise _RefusedError("product_id", f"placement {asked.placement} needs a product_id")
        return [asked.product_id]
    return asked.cart if place.kind == "cart" else []


def _candidates(place: Placement, asked: Question) -> list[str] | None:
    if (place.kind == "search") == (asked.candidates is not None):
        return asked.candidates
    if place.kind == "search":
        detail = f"placement {asked.placement} ranks the candidates that you POST; there are none"
    else:
        detail = f"placement {asked.placement} takes no candidates; ask for placement search"
    raise _RefusedError("candidates", detail)


def _limit(place: Placement, asked: Question, most: int) -> int:
    given = len(asked.candidates or ())
    if asked.limit is not None and asked.limit > max(most, given):
        raise _RefusedError("limit", f"limit is at most {max(most, given)}")
    return asked.limit or place.limit or max(given, 1)


def _unknown_placement(name: str, placements: Mapping[str, Placement]) -> str:
    near = difflib.get_close_matches(name, placements, 1, 0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(placements)}"
    return f"there is no placement '{name}'; {hint}"


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem},
    422: {"model": Problem},
    503: {"model": Problem},
}


def _json(body: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(body), media_type=JSON)


def _event(body: EventBody) -> Event:
    facts = body.model_dump(exclude={"occurred_at"})
    return Event(occurred_at=round(body.occurred_at.timestamp() * 1_000_000), **facts)


def _problem(status: int, problem: Problem) -> Response:
    return Response(problem.model_dump_json(), status_code=status, media_type=JSON)


def _blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


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


async def _unavailable(request: Request, error: Exception) -> Response:
    log.error("the feed failed: %s", error)
    return _problem(503, Problem(detail="the feed cannot be reached now; send it again"))
