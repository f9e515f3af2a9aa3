"""What an operator may set for serving."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.doors.settings import DoorSettings


class ServingSettings(BaseModel):
    """GUESSLIKE_SERVING__NAME sets one of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    feed_url: str | None = None
    """redis://HOST:PORT/DB, or a file; without one, feed.db in the local folder"""
    feed_shards: Annotated[int, Field(ge=1, le=1024)] = 1
    """logs of a new Redis feed; fixed once it holds events"""
    max_limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """products in one answer at most"""
    max_events: Annotated[int, Field(ge=1, le=10_000)] = 500
    """events in one batch at most"""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_000_000
    future_seconds: Annotated[float, Field(ge=0)] = 300
    """an event further in the future than this is refused"""
    rest_hours: Annotated[float, Field(ge=0)] = 12
    """a product just bought is not proposed again for so long"""
    placements: Path | None = None
    """a YAML file: the rules of each place in the shop, and places of the shop's own"""
    reload_seconds: Annotated[float, Field(gt=0)] = 0.5
    """how often a worker looks at CURRENT"""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """processes that answer on the one port"""
    log_format: Literal["json", "text"] = "json"
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """requests in flight have so long to end after SIGTERM"""
    stop_notice_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    """/readyz says so for this long before the port closes, so that a load balancer turns away"""
    doors: DoorSettings = DoorSettings()
