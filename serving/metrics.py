"""What is counted, for Prometheus. The sums are those of all workers, whichever one is asked."""

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MutexValue, ValueClass

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which workers share their numbers; read by prometheus_client as it is
imported. Without it the numbers are this process's."""

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""seconds; an answer takes half a millisecond, and up to seconds where a feed hangs"""

Operation = Literal["recent", "append", "show"]
Update = Literal["taken_up", "refused", "unreadable"]
Written = Literal["kept", "dropped"]

_placement: ContextVar[str | None] = ContextVar("placement", default=None)
"""of the list that this request answered: only the route knows it, wherever the ids stand"""


@dataclass(frozen=True, slots=True)
class Now:
    """What is true at the moment of a scrape, in the worker that answers it."""

    model_version: str
    model_as_of: str
    model_age_seconds: float
    feed_answers: bool
    blas_threads: int

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See prometheus_client's custom collectors."""
        model = GaugeMetricFamily(
            "guesslike_model_info", "The model that answers", labels=["version", "as_of"]
        )
        model.add_metric([self.model_version, self.model_as_of], 1)
        yield model
        for name, told, value in (
            ("model_age_seconds", "Time since the model's as-of date", self.model_age_seconds),
            ("feed_up", "Whether the feed answered when it was last asked", self.feed_answers),
            ("blas_threads", "Threads of the linear algebra; more than 1 is slow",
             self.blas_threads),
        ):  # fmt: skip
            yield GaugeMetricFamily(f"guesslike_{name}", told, value=float(value))


class Metrics:
    """The counters of one worker. Label combinations are looked up once: that is most of a count's
    cost."""

    def __init__(self, placements: Iterable[str]) -> None:
        """`placements`: all there are, by name."""
        names = tuple(placements)
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Answers", "method", "route", "status")
        self._seconds = Histogram(
            "guesslike_recommendation_seconds",
            "From a request for a list to its last byte handed over",
            ["placement"],
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._items = self._counter("items", "Products in lists", "placement")
        self._short = self._counter(
            "short_lists", "Lists with fewer products than asked for", "placement"
        )
        self._events = self._counter("events", "Events that were sent", "outcome")
        self._failures = self._counter(
            "feed_failures", "Calls of the feed that failed", "operation"
        )
        self._impressions = self._counter("impressions", "Personal answers written down", "outcome")
        self._updates = self._counter("model_updates", "Newly published models seen", "outcome")
        self._of_request: dict[tuple[str, str, int], Counter] = {}
        # a series that appears with its first failure has no rate at that failure
        self._seconds_of = {one: self._seconds.labels(one) for one in names}
        self._items_of = {one: self._items.labels(one) for one in names}
        self._short_of = {one: self._short.labels(one) for one in names}
        self._accepted, self._duplicate = (
            self._events.labels(one) for one in ("accepted", "duplicate")
        )
        for operation in get_args(Operation):
            self._failures.labels(operation)
        for written in get_args(Written):
            self._impressions.labels(written)
        for outcome in get_args(Update):
            self._updates.labels(outcome)

    def begin(self) -> None:
        """A request begins in this task; an earlier one may have used it too."""
        _placement.set(None)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request ended, the one that began in this task."""
        key = (method, route, status)
        counter = self._of_request.get(key)
        if counter is None:
            counter = self._of_request[key] = self._requests.labels(method, route, str(status))
        counter.inc()
        if (placement := _placement.get()) is not None:
            self._seconds_of[placement].observe(seconds)

    def listed(self, placement: str, items: int, limit: int) -> None:
        """A list of so many products is the answer of this task's request."""
        _placement.set(placement)
        self._items_of[placement].inc(items)
        if items < limit:
            self._short_of[placement].inc()

    def sent(self, accepted: int, duplicates: int) -> None:
        """A batch of events was stored."""
        self._accepted.inc(accepted)
        self._duplicate.inc(duplicates)

    def feed_failed(self, operation: Operation) -> None:
        """A call of the feed failed."""
        self._failures.labels(operation).inc()

    def impressions(self, outcome: Written, answers: int) -> None:
        """So many answers reached the feed, or did not."""
        self._impressions.labels(outcome).inc(answers)

    def model_seen(self, outcome: Update) -> None:
        """CURRENT named another model, and this became of it."""
        self._updates.labels(outcome).inc()

    def text(self, now: Now) -> bytes:
        """All of it in Prometheus' text format."""
        counted = self._registry
        if ValueClass is not MutexValue:
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        moment = CollectorRegistry()
        moment.register(now)
        return generate_latest(counted) + generate_latest(moment)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"guesslike_{name}", told, labels, registry=self._registry)
