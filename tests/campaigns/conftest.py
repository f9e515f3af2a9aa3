"""Both databases, each test in a store of its own."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from campaigns.cli import app
from campaigns.ledger.ledger import Ledger
from campaigns.run import Composition
from tests.campaigns.kit import open_test_ledger

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POSTGRES = os.environ.get(
    "GUESSLIKE_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test"
)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A schema that is made for the test and dropped after it."""
    schema = f"guesslike_test_{secrets.token_hex(6)}"
    engine = create_engine(POSTGRES, connect_args={"connect_timeout": 3})
    try:
        try:
            with engine.begin() as connection:
                connection.execute(text(f"CREATE SCHEMA {schema}"))
        except OperationalError:
            pytest.skip(f"no PostgreSQL at {POSTGRES}; name one in GUESSLIKE_TEST_POSTGRES")
        url = make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={schema}"})
        yield url.render_as_string(hide_password=False)
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def ledger(ledger_url: str, tmp_path: Path) -> Iterator[Ledger]:
    with open_test_ledger(ledger_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def run(shop: Composition) -> Callable[..., str]:
    """A `campaigns` command over the test's shop: what it prints."""

    def invoke(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, [str(w) for w in words], obj=shop, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.stdout

    return invoke


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed; to run this: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()
