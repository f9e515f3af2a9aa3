"""What an operator may set for the doors."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _an_origin(text: str) -> str:
    parts = urlsplit(text)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
    if parts.scheme not in ("http", "https") or not parts.hostname or text != origin or "*" in text:
        raise ValueError(f"{text!r} is no origin; write it as https://shop.example, without a path")
    return text


Rate = Annotated[float, Field(gt=0)]
Burst = Annotated[int, Field(ge=1)]


class DoorSettings(BaseModel):
    """GUESSLIKE_SERVING__DOORS__NAME sets one of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origins: tuple[Annotated[str, AfterValidator(_an_origin)], ...] = ()
    """pages of these may call from a browser; there is no wildcard"""
    token_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    """longest life of a member token, and the one it has if the shop does not say"""
    token_audience: Annotated[str, Field(min_length=1, max_length=64)] = "guesslike"
    """tells two installations apart that share their signing secrets"""
    server_rate: Rate = 5000
    """requests a second of one server key; of one address while the doors are open"""
    server_burst: Burst = 10_000
    token_rate: Rate = 10
    """of one member or visitor"""
    token_burst: Burst = 60
    public_rate: Rate = 50
    """of one address with a publishable key, without a key, or with a wrong one"""
    public_burst: Burst = 200
