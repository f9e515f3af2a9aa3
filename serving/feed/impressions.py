"""What was shown to whom, on its way to the dataset; and how often to each subject of late.

Kept in batches, and not under the promise of `append`: what a crash or a failing store takes
away is not shown again.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

KEPT_BATCHES = 10_000
"""of a shard, the latest that no drain took: 150 MB. A store must not fill up with them."""
MOST_SHOWINGS = 15
"""a count of them ends there: four bits"""
KEPT_PRODUCTS = 100
"""of one subject, those shown last: at most 2 kB"""
KEPT_DAYS = 30
"""A subject that is shown nothing for so long is forgotten."""

Shown = Mapping[str, int]
"""of each product: 16 × the minute of the latest showing (since 1970), plus how many there were in
a row. One number, for it is read in every request."""


class Impression(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of the `impressions` table. New fields go to the end."""

    request_id: str
    member_id: str | None
    visitor_id: str | None
    placement: str
    product_ids: list[str]
    shown_at: int
    """microseconds since 1970 UTC"""
    model_version: str | None = None
    variant: str | None = None
    propensities: list[float] | None = None
    """of each product: the chance that it stands in the list, where something was drawn"""

    @property
    def subject(self) -> str:
        """As `contract.subject` says it of an event."""
        return f"v:{self.visitor_id}" if self.member_id is None else f"m:{self.member_id}"


class Notice(NamedTuple):
    """What counts for a subject: products that were shown, or that something was done with."""

    subject: str
    minute: int
    """since 1970"""
    product_ids: list[str]
    row: int | None
    """so many minutes after the last showing another one still counts with it; None: they were not
    shown, something was done with them"""


encode = msgspec.msgpack.Encoder().encode
"""a batch of impressions, or what is kept of a subject"""
decode = msgspec.msgpack.Decoder(list[Impression]).decode
decode_shown = msgspec.msgpack.Decoder(dict[str, int]).decode


def by_subject(notices: Sequence[Notice]) -> dict[str, list[Notice]]:
    """As they came."""
    found: dict[str, list[Notice]] = {}
    for notice in notices:
        found.setdefault(notice.subject, []).append(notice)
    return found


def noticed(shown: dict[str, int], notices: Sequence[Notice]) -> None:
    """Count notices in: what was done with a product takes its showings until then away. The
    script SHOW does the same in Redis."""
    for _, minute, product_ids, row in notices:
        for product_id in product_ids:
            before = shown.get(product_id, 0)
            last, count = before >> 4, before & 15
            if row is None:
                if last > minute:
                    shown[product_id] = (last << 4) + 1
                elif before:
                    del shown[product_id]
            elif minute - last > row:
                shown[product_id] = (minute << 4) + 1
            else:
                latest = minute if minute > last else last  # max() takes twice as long
                shown[product_id] = (latest << 4) + (count + 1 if count < MOST_SHOWINGS else count)
    if len(shown) > KEPT_PRODUCTS:
        by_age = sorted(shown, key=lambda product_id: (shown[product_id] >> 4, product_id))
        for product_id in by_age[:-KEPT_PRODUCTS]:
            del shown[product_id]
