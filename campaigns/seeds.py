"""Test messages: what members would get, to the shop's own people first."""

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from campaigns.csv_file import rows_of
from campaigns.definition import Campaign
from campaigns.ledger.codes import coded_coupons
from campaigns.ledger.identity import normalise
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.trials import begin_trials, end_trials, suppressed
from campaigns.message import Message, whole
from campaigns.run import Composition
from campaigns.shop import campaign_coupons, renderer
from recsys.errors import CampaignError, DataError

MARK = "[TEST] "
_CODE = "TEST-CODE"
_WHAT = "seed list"


@dataclass(frozen=True, slots=True)
class Seed:
    """One of the shop's own people."""

    address: str
    member_id: str
    """whose message it is; empty: of somebody who bought nothing yet"""
    coupon_id: str
    language: str | None


@dataclass(slots=True)
class Tested:
    """How the calls ended."""

    made: Counter[str] = field(default_factory=Counter)
    suppressed: int = 0
    """seeds that stopped messages: nothing is sent to them"""


def send_tests(composition: Composition, campaign: Campaign, path: Path, *, by: str) -> Tested:
    """Sends a campaign's message, marked, to each seed of a CSV file.

    It takes no slot, coupon, code or money, and asks for no consent. DataError for a bad row, and
    LedgerError for more than test_sends_a_day: then nothing is sent.
    """
    settings, now, dataset = composition.settings, composition.now(), composition.dataset()
    campaign = campaign.with_defaults(settings)
    campaign = campaign.model_copy(update={"template": whole(campaign.template, campaign.channel)})
    seeds = list(_seeds(path, campaign, campaign_coupons(campaign, dataset)))
    with composition.open_ledger() as ledger:
        contacts = [ledger.identity.contact(campaign.channel, one.address) for one in seeds]
        stopped = suppressed(ledger, contacts)
        left = [one for one, key in zip(seeds, contacts, strict=True) if key not in stopped]
        messages = _messages(composition, campaign, left, ledger, now)
        keys = [message.send_id for message in messages]
        begin_trials(
            ledger, campaign.campaign, keys, by=by, most=settings.test_sends_a_day, now=now
        )
        window = campaign.ends_at - campaign.starts_at
        channel = composition.open_channel(campaign.channel, window=window)
        ended: dict[str, str] = {}
        try:
            for message in messages:
                answer = channel.deliver(message, now=composition.now())
                ended[message.send_id] = answer.state.value
        finally:
            channel.close()
            end_trials(ledger, campaign.campaign, ended, by=by)
    return Tested(Counter(ended.values()), len(seeds) - len(left))


def _messages(
    composition: Composition, campaign: Campaign, seeds: Sequence[Seed], ledger: Ledger,
    now: datetime,
) -> list[Message]:  # fmt: skip
    pairs = {"member_id": [one.member_id for one in seeds],
             "coupon_id": [one.coupon_id for one in seeds]}  # fmt: skip
    render = renderer(
        campaign,
        composition.dataset(),
        pairs=pl.DataFrame(pairs, dict.fromkeys(pairs, pl.String)),
        identity=ledger.identity,
        public_url=composition.settings.public_url,
        now=now,
        coded=coded_coupons(ledger),
    )
    return [
        _marked(render(one.member_id, one.coupon_id, f"test-{secrets.token_hex(13)}", one.address,
                       one.language))
        for one in seeds
    ]  # fmt: skip


def _seeds(path: Path, campaign: Campaign, coupons: Sequence[str]) -> Iterator[Seed]:
    optional = ("member_id", "coupon_id", "language")
    rows = list(rows_of(path, _WHAT, required=("address",), optional=optional))
    if not rows:
        raise DataError(f"The {_WHAT} {path} names nobody; add a row with an address")
    for number, row in rows:
        cells = {name: (row.get(name) or "").strip() for name in ("address", *optional)}
        try:
            normalise(campaign.channel, cells["address"])
        except ValueError as error:
            raise DataError(f"The {_WHAT} {path}, row {number}: {error}") from None
        coupon = cells["coupon_id"] or coupons[0]
        if coupon not in coupons:
            raise CampaignError(
                f"The {_WHAT} {path}, row {number}: campaign '{campaign.campaign}' does not give "
                f"coupon '{coupon}'; it gives {', '.join(coupons)}"
            )
        yield Seed(cells["address"], cells["member_id"], coupon, cells["language"] or None)


def _marked(message: Message) -> Message:
    message = message.with_code(_CODE if message.coded else None)
    return replace(message, subject=MARK + message.subject, text=MARK + message.text)
