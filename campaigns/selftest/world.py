"""A made shop in a scratch folder: members, some of whom share an address, and no real provider."""

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import NoReturn

import polars as pl

from campaigns.channels.settings import Provider
from campaigns.ledger.consent import Statement, record
from campaigns.ledger.identity import CHANNELS
from campaigns.run import Composition
from campaigns.selftest.clock import SharedClock, make_clock
from campaigns.settings import Breakers, CampaignSettings
from campaigns.ways_in.feedback.provider import ProviderSettings
from recsys.dataset import Dataset

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
COUPONS = ("c1", "c2", "c3")
PROVIDER = "selftest"
CALL_SECONDS = 30
SECRET = "webhook.secret"
CLOCK = "clock"
_WORLD = "world.json"


@dataclass(frozen=True, slots=True)
class World:
    """What the processes of a self-test have to know of each other."""

    ledger_url: str
    seed: int
    idempotent: bool
    """whether the provider takes one key for one message"""
    provider_port: int
    receiver_port: int
    """where our own feedback route listens"""
    members: int


def read_world(folder: Path) -> World:
    """As `make_world` wrote it."""
    return World(**json.loads((folder / _WORLD).read_text()))


def secret_of(folder: Path) -> bytes:
    """With which both sides sign."""
    return base64.b64decode((folder / SECRET).read_text().removeprefix("whsec_"))


def make_world(folder: Path, world: World) -> Composition:
    """Writes it all into an empty folder: dataset, secret, clock, ledger and consents."""
    # The ledger's URL may hold a password.
    for name, said in ((_WORLD, json.dumps(asdict(world))), (SECRET, _secret())):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(said)
    make_clock(folder / CLOCK, START)
    _write_dataset(folder / "dataset")
    made = compose(folder, world)
    with made.open_ledger() as ledger:
        record(ledger, _statements(world.members), now=START)
    return made


def compose(folder: Path, world: World) -> Composition:
    """The shop as each process sees it."""
    carrier = Provider(
        url=f"http://127.0.0.1:{world.provider_port}/send",
        secret_file=Path(SECRET),
        key_hours=24 * 365 if world.idempotent else 0,
        seconds=0.5,
        cost=0.05,
    )
    dataset = Dataset(folder / "dataset")
    return Composition(
        settings=CampaignSettings(
            ledger_url=world.ledger_url,
            channels=dict.fromkeys(CHANNELS, carrier),
            feedback={PROVIDER: ProviderSettings(scheme="standard", secret_file=SECRET)},
            call_seconds=CALL_SECONDS,
            # Half of all calls may fail here, at any hour.
            breakers=Breakers(errors=1, bounces=1, complaints=1),
            quiet_from=time(0),
            quiet_until=time(0),
            quiet_margin_hours=0,
        ),
        now=SharedClock(folder / CLOCK),
        clock="simulated",
        folder=folder,
        dataset=lambda: dataset,
        offers=_never,
    )


def _never(*_: object) -> NoReturn:
    raise RuntimeError("a self-test writes its plans itself")


def _secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def _write_dataset(folder: Path) -> None:
    folder.mkdir()
    tables: dict[str, dict[str, Sequence[object]]] = {
        "events": {"member_id": ["m0"], "product_id": ["tea"], "kind": ["purchase"],
                   "occurred_at": [START - timedelta(days=3)], "order_id": ["o1"]},
        "products": {"product_id": ["tea"], "title": ["Tea"], "category": ["DRINKS"]},
        "coupons": {"coupon_id": COUPONS, "title": ["1 off", "2 off", "3 off"]},
        "coupon_products": {"coupon_id": COUPONS, "category": ["DRINKS"] * len(COUPONS)},
    }  # fmt: skip
    for name, columns in tables.items():
        pl.DataFrame(columns).write_parquet(folder / f"{name}.parquet")


def _statements(members: int) -> list[Statement]:
    """Every eighth member shares an address with the next one, on another channel each time."""
    said = []
    for at in range(members):
        for turn, channel in enumerate(CHANNELS):
            of = at - 1 if at % 8 == 2 * turn + 1 else at
            address = {
                "email": f"m{of}@example.invalid",
                "sms": f"+49151{of:07}",
                "push": f"token-{of:08}",
            }[channel]
            granted = at % 50 != 49
            since = START - timedelta(days=7)
            said.append(Statement(f"m{at}", channel, address, granted, since, "selftest", "UTC"))
    return said
