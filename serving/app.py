"""The HTTP service: recommendations, coupons and events of one worker process."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import FastAPI, Header, Query, Request, Response
from starlette.types import Scope

from recsys.coupons import Terms
from recsys.errors import FilterError, ModelError, SettingsError
from recsys.model import Model
from recsys.offers import basis as basis_of
from serving import coupons, following, health, members, news, openapi, questions
from serving.asking import Request as Wanted
from serving.body_limit import BodyLimit
from serving.counting import Counting
from serving.doors import access, middleware, together
from serving.doors.door import Doors
from serving.doors.routes import routes as door_routes
from serving.eligibility import Held, Nothing
from serving.experiments import Experiment
from serving.feed import Feed, check_numbers, open_feed
from serving.feed.contract import Event, Recent
from serving.feed.news import ProductChange
from serving.impressions import Answered, Impressions
from serving.metrics import Metrics
from serving.models import Published
from serving.placements import Placement
from serving.placements_file import load_placements
from serving.problems import PROBLEMS, RefusedError, answer_problems
from serving.process import STOPPING
from serving.ranker import Ranker
from serving.recommend import answered, recommend
from serving.rotation import rotated
from serving.rules import Asked
from serving.schemas import (
    Accepted,
    Coupons,
    EventBody,
    EventsBody,
    FilterText,
    Id,
    ProductsBody,
    Question,
    Recommendations,
    RecommendBody,
    Told,
)
from serving.settings import ServingSettings
from serving.watched import WatchedFeed
from serving.wording import Language, language_of

log = logging.getLogger(__name__)

RECENT_EVENTS = 30
"""of one member, brought by one trip to the feed"""
JSON = "application/json"
NOTHING = Recent([])


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
    forget: Callable[[str], None] = lambda member_id: None
    """makes others forget an erased member, too"""
    held: Callable[[str], Held] = lambda member_id: Nothing()
    """what the ledger knows of a member's coupons; it may wait for a database"""


class _Live:
    """What is open while the service runs."""

    def __init__(
        self, published: Published, feed: WatchedFeed, experiments: Mapping[str, Experiment],
        impressions: Impressions,
    ) -> None:  # fmt: skip
        self.published = published
        self.feed = feed
        self.impressions = impressions
        self._experiments = experiments

    def arm(
        self, name: str, place: Placement, subject: str | None
    ) -> tuple[Placement, Ranker, str | None]:
        """Under which rules and from which model a subject is answered at a placement, and which
        variant of an experiment that is."""
        experiment = self._experiments.get(name)
        if experiment is None or subject is None or not self.runs(experiment):
            return place, self.published.ranker, None
        variant = experiment.of(subject)
        ranker = self.published.beside.get(variant.model or "", self.published.ranker)
        return variant.placement or place, ranker, experiment.label(variant)

    def runs(self, experiment: Experiment) -> bool:
        """Whether all its models are there."""
        return experiment.models <= self.published.beside.keys()

    @property
    def experiments(self) -> dict[str, bool]:
        """Whether each runs."""
        return {one.name: self.runs(one) for one in self._experiments.values()}

    async def recent(
        self, subject: str | None, model: Model, request_id: str, *, shown: bool = False
    ) -> Recent:
        """The subject's events that the model does not contain; none where the feed fails."""
        if subject is None:
            return NOTHING
        about = {"request_id": request_id, "model_version": model.version}
        return await self.feed.recent(
            subject, after=model.feed_sequences, limit=RECENT_EVENTS, about=about, shown=shown
        )


def create_app(service: Service) -> FastAPI:
    """The service; models and feed are opened when it starts."""
    settings = service.settings
    places = load_placements(settings.placements)
    placements = places.named
    metrics, ids = Metrics(placements), request_ids()
    doors = Doors(service.folder, settings.doors, service.now)
    live: _Live

    async def accept(feed: Feed, ranker: Ranker) -> None:
        await check_numbers(feed, ranker.model)
        try:
            places.check(ranker.model)
        except SettingsError as error:
            raise ModelError(str(error)) from error
        await news.take_up(feed, ranker)

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
                service.models,
                accept=partial(accept, feed),
                seen=metrics.model_seen,
                beside=places.models,
            )
            await accept(feed, published.ranker)
            await published.look_beside()
            watched = WatchedFeed(feed, metrics)
            await watched.hear()
            impressions = Impressions(watched, metrics)
            live = _Live(published, watched, places.experiments, impressions)
            # compiled by the ranker; what else a first list does once is done by this one
            recommend(published.ranker, _anybodys_list(microseconds(), placements["home"]), [])
            every = settings.reload_seconds
            tasks = [
                asyncio.create_task(published.follow(every)),
                asyncio.create_task(news.follow(feed, lambda: published.rankers, every)),
                asyncio.create_task(watched.go_on_hearing(every)),
                asyncio.create_task(impressions.follow()),
                asyncio.create_task(together.follow(doors, feed)),
            ]
            app.state.published = published
            app.state.unready = None
            yield
            app.state.unready = STOPPING
            await following.end(tasks)
            await impressions.write()
            # routes may be remembered elsewhere; what is open goes now
            del live, app.state.published
        finally:
            await feed.close()

    app = FastAPI(title="Guesslike", lifespan=lifespan, responses=PROBLEMS)
    app.state.unready = "starting: the model is not read and compiled yet"
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    middleware.add(app, doors)
    app.add_middleware(Counting, metrics=metrics)  # the last one added is the outermost
    openapi.name_bearer(app)
    app.include_router(door_routes(doors, service.now))
    answer_problems(app)

    def microseconds() -> int:
        return round(service.now().timestamp() * 1_000_000)

    async def answer(asked: Question, scope: Scope, language: Language) -> Response:
        place = questions.placement(placements, asked)
        member_id, visitor_id = access.subject(scope, asked.member_id, asked.visitor_id)
        subject = f"m:{member_id}" if member_id else f"v:{visitor_id}" if visitor_id else None
        place, ranker, variant = live.arm(asked.placement, place, subject)
        request_id, rotates = ids(), place.rotation is not None
        recent = await live.recent(subject, ranker.model, request_id, shown=rotates)
        now = microseconds()
        wanted = Wanted(
            member_id=None if recent.hidden else member_id,
            placement=place,
            seeds=questions.seeds(place, asked),
            excluded=asked.exclude,
            limit=questions.limit(place, asked, settings.max_limit),
            now=now,
            rest_hours=settings.rest_hours if place.rest_hours is None else place.rest_hours,
            shown=questions.shown(asked),
            asked=Asked(asked.filter, asked.region),
            candidates=questions.candidates(place, asked),
            query=questions.query(place, asked, ranker.model),
            language=language,
            rotated=rotated(place.rotation, recent, now) if rotates else (),
        )
        try:
            found = answered(ranker, wanted, recent.events, debug=asked.debug)
        except FilterError as error:  # the placements' own filters were tried at the start
            raise RefusedError("filter", str(error)) from None
        metrics.listed(asked.placement, len(found.items), wanted.limit)
        if subject is not None and not recent.hidden and not asked.debug:
            live.impressions.answered(
                Answered(
                    request_id, subject, member_id, visitor_id, asked.placement, place.rotation,
                    [item.product_id for item in found.items], found.picks,
                    ranker.model.version, now, variant,
                )
            )  # fmt: skip
        version = ranker.model.version
        return _json(Recommendations(request_id, version, found.items, variant, found.debug))

    @app.get("/v1/recommendations", responses=openapi.of(Recommendations))
    async def get_recommendations(
        request: Request,
        member_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        visitor_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        placement: Annotated[str, Query(min_length=1, max_length=64)] = "home",
        product_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        cart: Annotated[list[Id], Query(max_length=100)] = [],  # noqa: B006
        exclude: Annotated[list[Id], Query(max_length=500)] = [],  # noqa: B006
        query: Annotated[str | None, Query(max_length=500)] = None,
        filter: Annotated[FilterText | None, Query()] = None,  # noqa: A002
        region: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        debug: bool = False,
        accept_language: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Ranked products for a member, a visitor, or anybody."""
        question = Question(
            member_id,
            visitor_id,
            placement,
            product_id,
            cart,
            exclude,
            None,
            query,
            filter,
            region,
            limit,
            debug,
        )
        return await answer(question, request.scope, language_of(accept_language))

    @app.post("/v1/recommendations", responses=openapi.of(Recommendations))
    async def post_recommendations(
        body: RecommendBody,
        request: Request,
        accept_language: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The same with the ids in the body, for addresses end up in logs."""
        question = Question(**dict(body))
        return await answer(question, request.scope, language_of(accept_language))

    @app.get("/v1/coupons", responses=openapi.of(Coupons))
    async def get_coupons(
        request: Request,
        member_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 3,
        cart_total: Annotated[float | None, Query(ge=0, le=1e12, allow_inf_nan=False)] = None,
        accept_language: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The coupons that a member can use now, the one worth most first. With `cart_total`, those
        whose minimum it reaches."""
        member_id, _ = access.subject(request.scope, member_id, None)
        if member_id is None:
            raise RefusedError("member_id", "coupons need a member_id, or a member's token")
        ranker, request_id = live.published.ranker, ids()
        version, basis = ranker.model.version, basis_of(ranker.model, service.terms)
        recent = await live.recent(f"m:{member_id}", ranker.model, request_id)
        if recent.hidden:
            return _json(Coupons(request_id, version, basis, []))
        held = await asyncio.to_thread(service.held, member_id)
        wanted = coupons.asked_for(
            member_id,
            placements["home"],
            now=microseconds(),
            rest_hours=settings.rest_hours,
            language=language_of(accept_language),
        )
        items = coupons.offers(
            ranker, wanted, recent.events, terms=service.terms, held=held,
            cart_total=cart_total, limit=limit,
        )  # fmt: skip
        return _json(Coupons(request_id, version, basis, items))

    @app.post("/v1/events")
    async def post_events(body: EventsBody, request: Request) -> Accepted:
        """Accept events; each counts on that member's next request."""
        if len(body.events) > settings.max_events:
            raise RefusedError("events", f"at most {settings.max_events} events in one batch")
        now = microseconds()
        latest = now + settings.future_seconds * 1_000_000
        events = access.events(request.scope, [_event(event) for event in body.events])
        for at, event in enumerate(events):
            if event.occurred_at > latest:
                raise RefusedError(
                    f"events.{at}.occurred_at",
                    f"is more than {settings.future_seconds:g} s in the future",
                )
        stored = await live.feed.append(events, now=now)
        live.impressions.happened(events)
        return Accepted(accepted=stored.new, duplicates=stored.duplicates)

    @app.patch("/v1/products")
    async def patch_products(body: ProductsBody) -> Told:
        """Say what is in stock, what it costs, and what is new; it counts in every worker within a
        second."""
        if len(body.products) > settings.max_events:
            raise RefusedError("products", f"at most {settings.max_events} products in one batch")
        feed, ranker = live.feed.feed, live.published.ranker
        told_at = int(service.now().timestamp())
        await feed.tell(
            [
                ProductChange(one.product_id, {**one.said(), "told_at": told_at})
                for one in body.products
            ]
        )
        for one in live.published.rankers:
            await news.take_up(feed, one)
        unknown = [
            one.product_id for one in body.products if ranker.product_row(one.product_id) is None
        ]
        return Told(accepted=len(body.products), unknown=unknown)

    app.include_router(
        members.routes(
            lambda: live.feed,
            microseconds,
            future_seconds=settings.future_seconds,
            forget=service.forget,
        )
    )
    app.include_router(
        health.routes(lambda: app.state.unready, lambda: live, metrics=metrics, now=service.now)
    )
    return app


def request_ids() -> Callable[[], str]:
    """Ids that no other worker gives; a system call would take a twentieth of it."""
    numbers = map(f"{secrets.token_hex(8)}{{:016x}}".format, itertools.count())
    return numbers.__next__


def _json(body: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(body), media_type=JSON)


def _event(body: EventBody) -> Event:
    facts = body.model_dump(exclude={"occurred_at"})
    return Event(occurred_at=round(body.occurred_at.timestamp() * 1_000_000), **facts)


def _anybodys_list(now: int, home: Placement) -> Wanted:
    return Wanted(
        member_id=None, placement=home, seeds=[], excluded=[], limit=1, now=now, rest_hours=0
    )
