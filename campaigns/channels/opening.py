"""Opens the way out that the settings name for a channel."""

import base64
import binascii
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from campaigns.channels.contract import Channel
from campaigns.channels.outbox import Outbox
from campaigns.channels.settings import Provider, is_own
from campaigns.channels.smtp import Server, Smtp
from campaigns.channels.webhook import Webhook
from campaigns.ledger.identity import ChannelName
from campaigns.settings import CampaignSettings
from recsys.errors import SettingsError

_PORTS = {"smtp": 587, "smtps": 465}
_SECRET = "whsec_"
_LEAST_SECRET = 24  # bytes; the specification's least


def open_channel(
    name: ChannelName, settings: CampaignSettings, folder: Path, *, window: timedelta
) -> Channel:
    """Close it. folder: of the outbox and of secret files. SettingsError names the mend.

    window: all calls of one send fall into so long a time; where a webhook's keys live shorter,
    no call is made again.

    Nothing is reached yet: a server that is away is told of by the first call.
    """
    provider = settings.provider(name)
    if provider.scheme == "outbox":
        return Outbox(folder / "outbox", settings.sender, name)
    if provider.scheme.startswith("smtp"):
        return Smtp(
            _server(name, provider, folder),
            sender=settings.sender,
            bounces=provider.bounces,
            lanes=provider.lanes,
            seconds=provider.seconds,
        )
    return Webhook(
        provider.url,
        channel=name,
        secrets=[_key(name, provider, line) for line in _lines(name, provider, folder)],
        idempotent=timedelta(hours=provider.key_hours) >= window,
        lanes=provider.lanes,
        seconds=provider.seconds,
    )


def _server(name: ChannelName, provider: Provider, folder: Path) -> Server:
    parts = provider.parts
    host, tls = parts.hostname or "", _tls(provider)
    port = parts.port or _PORTS[parts.scheme]
    if parts.username is None:
        return Server(host, port, tls)
    password = _lines(name, provider, folder)[0]
    return Server(host, port, tls, unquote(parts.username), password)


def _tls(provider: Provider) -> Literal["starttls", "implicit", "none"]:
    if provider.scheme == "smtps":
        return "implicit"
    own = is_own(provider.parts.hostname)
    return "none" if own or provider.plain else "starttls"


def _lines(name: ChannelName, provider: Provider, folder: Path) -> list[str]:
    """What the secret file holds: at least one line, and at most two."""
    assert provider.secret_file is not None  # the settings see to it
    file = folder / provider.secret_file
    try:
        if file.stat().st_mode & 0o077:
            raise SettingsError(f"{file} can be read by others; run: chmod 600 {file}")
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise SettingsError(
            f"There is no file {file}; secret_file of channel {name} names it"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8 text; write the secret of {name} anew") from None
    kept = [line.rstrip("\r") for line in lines if line.strip()]
    if not 1 <= len(kept) <= 2:
        raise SettingsError(
            f"{file} holds {len(kept)} lines; it must be the secret of channel {name}, and while "
            "you change it the one before on a second line"
        )
    return kept


def _key(name: ChannelName, provider: Provider, line: str) -> bytes:
    try:
        key = base64.b64decode(line.strip().removeprefix(_SECRET), validate=True)
    except binascii.Error:
        key = b""
    if not line.strip().startswith(_SECRET) or len(key) < _LEAST_SECRET:
        raise SettingsError(
            f"{provider.secret_file} of channel {name} holds a line that is no secret of the form "
            f"{_SECRET}… (base64 of {_LEAST_SECRET} bytes or more)"
        )
    return key
