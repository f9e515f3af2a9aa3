"""What an operator asks of a worker: does it live, is it ready, what has it counted."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from threadpoolctl import threadpool_info

from recsys.model import Model
from serving.metrics import Metrics, Now
from serving.models import Published
from serving.schemas import Ready, Unready
from serving.watched import WatchedFeed


class Open(Protocol):
    """What is open while the service runs."""

    @property
    def published(self) -> Published:
        """The model."""

    @property
    def feed(self) -> WatchedFeed:
        """The feed."""

    @property
    def experiments(self) -> dict[str, bool]:
        """Whether each runs."""


def routes(
    unready: Callable[[], str | None],
    live: Callable[[], Open],
    *,
    metrics: Metrics,
    now: Callable[[], datetime],
) -> APIRouter:
    """GET /livez, /readyz and /metrics. `live` is there once `unready` gives no reason."""
    router = APIRouter()

    @router.get("/livez")
    async def livez() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @router.get("/readyz", responses={200: {"model": Ready}, 503: {"model": Unready}})
    async def readyz() -> Response:
        """The service can answer from a model, and how."""
        if (reason := unready()) is not None:
            return _json(503, Unready(reason=reason))
        model, feed = live().published.ranker.model, live().feed
        ready = Ready(
            model_version=model.version,
            model_as_of=model.manifest["as_of"],
            model_age_days=round(_age(model, now()) / timedelta(days=1), 2),
            feed=type(feed.feed).__name__,
            feed_warnings=list(feed.feed.warnings),
            feed_answers=feed.answers,
            answers_from="model and feed" if feed.answers else "model alone",
            experiments=live().experiments,
            blas_threads=_blas_threads(),
        )
        return _json(200, ready)

    @router.get("/metrics", include_in_schema=False)
    def get_metrics() -> Response:
        """For Prometheus. In a thread: with many workers it reads their files."""
        model = live().published.ranker.model
        moment = Now(
            model_version=model.version,
            model_as_of=model.manifest["as_of"],
            model_age_seconds=_age(model, now()).total_seconds(),
            feed_answers=live().feed.answers,
            blas_threads=_blas_threads(),
        )
        return Response(metrics.text(moment), media_type=CONTENT_TYPE_LATEST)

    return router


def _json(status: int, body: BaseModel) -> Response:
    return Response(body.model_dump_json(), status_code=status, media_type="application/json")


def _age(model: Model, now: datetime) -> timedelta:
    """Since the as-of date, which is midnight UTC."""
    return now - datetime.combine(date.fromisoformat(model.manifest["as_of"]), time(), UTC)


def _blas_threads() -> int:
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(blas, default=1)
