"""Order and honesty of a run: slow tests last, no silent skip in CI; and a real Redis."""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import pytest

from recsys.dataset import Dataset
from tests.redis_server import RedisServer
from tests.small_shop import END, write_small_shop
from training.config import TrainingSettings
from training.importers import import_complete_journey
from training.publish import publish
from training.run import train

MANY_FILES = 400
MUST_RUN_IN_CI = {"redis", "browser"}


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needed = MUST_RUN_IN_CI & {mark.name for mark in item.iter_markers()}
    if report.skipped and needed and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI a {min(needed)} test must run: {reason}"
    return report


@pytest.fixture(autouse=True)
def few_open_files() -> Iterator[None]:
    """An app that a test opened is a cycle, and keeps its model's 57 files mapped until it is
    collected. Many machines allow 1,024 open files."""
    yield
    if sum(1 for _ in Path("/dev/fd").iterdir()) > MANY_FILES:
        gc.collect()


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes what a run found out in numbers; they are shown at its end."""
    return partial(record_property, "measured")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(f"{report.head_line}: {value}")


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """A real Redis, empty at the start of each test."""
    with shared_redis.client() as client:
        client.flushall()
    return shared_redis


@pytest.fixture(scope="session")
def complete_journey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Complete Journey as a dataset, imported once; read it, never write into it."""
    return import_complete_journey(tmp_path_factory.mktemp("complete-journey") / "dataset").out


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generated shop as a dataset; read it, never write into it."""
    return write_small_shop(tmp_path_factory.mktemp("small-shop") / "home" / "dataset")


@pytest.fixture(scope="session")
def small_model(small_shop: Path) -> Path:
    """A local folder (GUESSLIKE_HOME) with that dataset and a trained and published model."""
    home = small_shop.parent
    settings = TrainingSettings()
    version = train(Dataset(small_shop), home / "models", settings)
    publish(home / "models", version, settings, now=END)
    return home
