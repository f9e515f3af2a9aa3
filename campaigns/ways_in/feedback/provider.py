"""The providers that may give feedback, by name, with what proves that they are the ones."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from recsys.errors import SettingsError

Scheme = Literal["standard", "sns", "sendgrid", "twilio"]
_NAME = re.compile(r"[a-z0-9-]{1,40}")


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class ProviderSettings:
    """One provider, as the operator writes it down."""

    scheme: Scheme
    secret_file: str = ""
    """in the home, of mode 600: one secret or public key a line, any of which may sign"""
    topics: tuple[str, ...] = ()
    """for sns: the topics that are ours, by their ARN"""
    url: str = ""
    """for twilio: the address as the provider calls it, where it is not PUBLIC_URL's"""


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, with its secrets read."""

    name: str
    scheme: Scheme
    secrets: tuple[str, ...]
    topics: tuple[str, ...]
    url: str


def providers(
    told: Mapping[str, ProviderSettings], *, folder: Path, public_url: str
) -> dict[str, Provider]:
    """All of them by name; SettingsError for a name, a file or a topic that will not do."""
    return {
        name: _provider(name, one, folder=folder, public_url=public_url)
        for name, one in told.items()
    }


def _provider(name: str, one: ProviderSettings, *, folder: Path, public_url: str) -> Provider:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"Feedback provider '{name}' must be named with a-z, 0-9 and - alone")
    if one.scheme == "sns":
        if not one.topics:
            raise SettingsError(
                f"Feedback provider '{name}' needs topics: the ARNs of your own topics. Without "
                "them anybody's topic could speak"
            )
        secrets: tuple[str, ...] = ()
    else:
        secrets = _secrets(name, one, folder)
    url = one.url or f"{public_url.rstrip('/')}/v1/feedback/{name}"
    return Provider(name, one.scheme, secrets, one.topics, url)


def _secrets(name: str, one: ProviderSettings, folder: Path) -> tuple[str, ...]:
    if not one.secret_file:
        raise SettingsError(
            f"Feedback provider '{name}' needs secret_file: in {folder}, of mode 600, with what "
            f"the provider shows for scheme {one.scheme}"
        )
    path = folder / one.secret_file
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"{path} can be read by others; run: chmod 600 {path}")
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise SettingsError(
            f"There is no file {path}; write the secret of feedback provider '{name}' into it"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is no text; write one secret a line into it") from None
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise SettingsError(f"{path} is empty; write one secret a line into it")
    return found
