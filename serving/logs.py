"""Logs: one JSON object a line, or plain lines for a terminal. Never who asked, nor for what."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

Format = Literal["json", "text"]

FIELDS = ("request_id", "model_version")
"""What a line may carry beside its message. Anything else that a library attaches stays out."""

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure(how: Format, stream: TextIO | None = None) -> None:
    """Send this process's log to standard error, in one format."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if how == "json" else PlainLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)


class _Quiet(logging.Formatter):
    """Tells where an exception came from and of which kind, and leaves its words out: those of a
    database or a parser quote what was sent to it."""

    def formatException(self, ei: _Raised) -> str:  # noqa: N802 — the library's name
        """The places, outermost first, of the exception and of what caused it."""
        return "\n".join(_told(ei[1])) if ei[1] is not None else ""


class JsonLines(_Quiet):
    """time, level, logger, message; FIELDS where they are known; error after an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            if (value := getattr(record, name, None)) is not None:
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class PlainLines(_Quiet):
    """The same for a person."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%H:%M:%S")


def _told(error: BaseException) -> list[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [*_told(before), "then:"] if before is not None else []
    lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
    for frame in traceback.extract_tb(error.__traceback__):
        lines.append(f"  {frame.filename}:{frame.lineno} {frame.name}")
    return lines
