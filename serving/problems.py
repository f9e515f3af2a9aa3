"""What is answered when something is wrong: which field, and what mends it."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from recsys.errors import FeedError, LedgerError
from serving.doors.access import DeniedError
from serving.schemas import Problem

log = logging.getLogger(__name__)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 413, 422, 429, 503)
}
"""for OpenAPI; 404 is for ids with a line break, which no address names"""


class RefusedError(Exception):
    """A request that the schema lets through and the service does not."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(detail=detail, field=field)


def answer_problems(app: FastAPI) -> None:
    """Every error of an app becomes a Problem."""
    app.add_exception_handler(DeniedError, _denied)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(FeedError, _unavailable)
    app.add_exception_handler(LedgerError, _unavailable)


def _problem(status: int, problem: Problem, headers: Any = None) -> Response:
    return Response(problem.model_dump_json(), status, headers, media_type="application/json")


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 400:  # FastAPI's own, which says no more than that
        detail = "the body cannot be read: send JSON in UTF-8, nested less, with shorter numbers"
    return _problem(error.status_code, Problem(detail=detail), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":  # its place is a position, not a field
        detail = f"the body is not JSON: {first['ctx']['error']} at character {first['loc'][1]}"
        return _problem(422, Problem(detail=detail))
    field = ".".join(str(part) for part in first["loc"][1:])
    return _problem(422, Problem(detail=first["msg"], field=field or None))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _problem(422, error.problem)


async def _denied(request: Request, error: Exception) -> Response:
    assert isinstance(error, DeniedError)
    return _problem(error.status, Problem(detail=error.detail))


async def _unavailable(request: Request, error: Exception) -> Response:
    if isinstance(error, LedgerError):
        log.error("the ledger fails: %s", error)
    what = "ledger" if isinstance(error, LedgerError) else "feed"
    return _problem(503, Problem(detail=f"the {what} cannot be reached now; send it again"))
