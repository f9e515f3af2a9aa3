"""What an operator may set of one channel: who carries its messages, and for how much."""

import ipaddress
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

OUTBOX = "outbox:"
_SCHEMES = ("outbox", "smtp", "smtps", "https", "http")


def check_mailbox(said: str | None) -> str | None:
    """ValueError for what is no mailbox, alone or with a name before it, on one line."""
    if said is None:
        return None
    local, at, domain = parseaddr(said)[1].rpartition("@")
    if not (local and at and domain) or not said.isprintable():
        raise ValueError(f"{said!r} is no mailbox, such as Shop <shop@shop.example>")
    return said


class Provider(BaseModel):
    """Who carries the messages of one channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = OUTBOX
    """outbox:, smtp://[USER@]HOST[:PORT], smtps://…, or https://… for a webhook"""
    secret_file: Path | None = None
    """mode 600, in the local folder: the login's password, or one webhook secret a line"""
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """money for one message, whatever becomes of it"""
    key_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """of a webhook: so long the other side takes one Idempotency-Key for one message; a call in
    doubt is made again where a campaign's window is no longer"""
    bounces: Annotated[str | None, AfterValidator(check_mailbox)] = None
    """of a mail server: the envelope sender"""
    lanes: Annotated[int, Field(ge=1, le=64)] = 8
    """lines that are open at once"""
    seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """the longest that a call lasts"""
    plain: bool = False
    """let messages leave this machine unencrypted"""

    @property
    def parts(self) -> SplitResult:
        """The url, taken apart."""
        return urlsplit(self.url)

    @property
    def scheme(self) -> str:
        """Which adapter it is."""
        return self.parts.scheme

    @property
    def is_here(self) -> bool:
        """Whether nothing leaves this machine."""
        return self.scheme == "outbox" or is_own(self.parts.hostname)

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        parts, _ = self.parts, self._port()
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"url '{_bare(parts)}' must begin with one of {', '.join(_SCHEMES)}")
        if parts.scheme == "outbox":
            return self
        if not parts.hostname:
            raise ValueError(f"url '{_bare(parts)}' names no server")
        if parts.password is not None:
            raise ValueError("url holds a password; write it into a file, and name secret_file")
        mail = parts.scheme.startswith("smtp")
        if not mail and parts.username is not None:
            raise ValueError("url holds a user name; a webhook is signed and has no login")
        if (parts.username is not None or not mail) and self.secret_file is None:
            what = "the password" if mail else "a secret of the signature"
            raise ValueError(f"secret_file is needed: {what} is read from it")
        if parts.scheme == "http" and not (is_own(parts.hostname) or self.plain):
            raise ValueError(
                "http:// would show every message to others on the way; use https://, or say plain"
            )
        return self

    def _port(self) -> int | None:
        try:
            return self.parts.port
        except ValueError:
            raise ValueError(f"url '{_bare(self.parts)}' has no such port") from None


def is_own(host: str | None) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _bare(parts: SplitResult) -> str:
    """Without what may be a password."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
