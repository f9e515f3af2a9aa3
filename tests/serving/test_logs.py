"""One line an event, and no word of what was sent."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from serving import logs

SECRET = "ann@example.org"


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """The root logger as pytest had it."""
    logger = logging.getLogger()
    before, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fails() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise ValueError(f"no consent of {SECRET}") from error


def test_a_line_is_an_object_with_the_ids_that_are_known(stream: io.StringIO) -> None:
    logs.configure("json", stream)
    log = logging.getLogger("serving.somewhere")
    log.info("two\nlines of %s", "猜", extra={"request_id": "r1", "color_message": "\x1b[1m"})
    log.debug("not of interest")
    log.warning("plain")
    first, second = lines(stream)
    at = datetime.fromisoformat(str(first.pop("time")))
    assert abs(at - datetime.now(UTC)) < timedelta(seconds=30)
    assert first == {
        "level": "info",
        "logger": "serving.somewhere",
        "message": "two\nlines of 猜",
        "request_id": "r1",
    }
    assert set(second) == {"time", "level", "logger", "message"}


@pytest.mark.parametrize("how", ["json", "text"])
def test_a_defect_tells_its_kind_and_place_but_not_its_words(
    how: logs.Format, stream: io.StringIO
) -> None:
    logs.configure(how, stream)
    try:
        fails()
    except ValueError:
        logging.getLogger("x").exception("a request failed")
    said = stream.getvalue()
    assert SECRET not in said
    assert "builtins.KeyError" in said
    assert "builtins.ValueError" in said
    assert __file__ in said
    assert "fails" in said
    if how == "json":
        (line,) = lines(stream)
        assert line["message"] == "a request failed"


def test_text_is_for_a_person(stream: io.StringIO) -> None:
    logs.configure("text", stream)
    logging.getLogger("serving.models").info("model %s taken up", "v2")
    said = stream.getvalue()
    assert said.endswith("INFO serving.models model v2 taken up\n")


def test_configured_again_a_line_is_written_once(stream: io.StringIO) -> None:
    logs.configure("json", io.StringIO())
    logs.configure("json", stream)
    logging.getLogger("x").warning("once")
    assert len(lines(stream)) == 1
