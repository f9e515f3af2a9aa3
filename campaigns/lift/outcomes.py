"""What each cluster did before and after its slot: the rows that the arms are compared by."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from campaigns.audience import Tables
from campaigns.instants import DAY, to_micros
from campaigns.ledger.arms import Arms
from campaigns.lift.always import DAYS
from campaigns.lift.sample import NUMBER, TEXT, Sample, frame

LOOKED_BACK = (28, 90)
"""days before the slot, for what the difference is cleared of"""
COVARIATES = tuple(
    f"{name}_{back}" for back in LOOKED_BACK for name in ("orders", "spend", "log_spend")
)


def known_until(dataset: Tables, now: datetime) -> int:
    """The last event that the dataset holds, in microseconds; 0 where it has none."""
    latest = dataset.scan("events").select(pl.col("occurred_at").max()).collect().item()
    return 0 if latest is None else min(to_micros(latest), to_micros(now))


def outcomes(
    sample: Sample,
    arms: Arms,
    dataset: Tables,
    members: Mapping[str, str | None],
    *,
    margin_rate: float,
    minor_units: int,
    now: datetime,
) -> pl.DataFrame:
    """One row for each cluster without erased members: cluster, arm, slot, COVARIATES, and for
    each of DAYS the OUTCOMES through it, as `orders@7`. Money is in the shop's currency.

    Profit is the margin of what was ordered, less discounts redeemed and the cost of sends, of
    whatever campaign: a product's `margin` where the catalogue says one, a share of what was paid
    elsewhere. What was paid is after discounts, so such a margin is rather too low than too high.
    """
    people = sample.people.filter(~pl.col("erased")).select("person", "cluster", "arm", "slot")
    of_members = [(person, member) for person, member in members.items() if member is not None]
    people = people.join(frame(of_members, person=TEXT, member_id=TEXT), on="person")
    clusters = people.select("cluster", "arm", "slot").unique().sort("cluster", "arm")
    ordered = _ordered(people, dataset, margin_rate=margin_rate, now=now)
    redeemed = _after(people, frame(arms.redeemed, person=TEXT, at=NUMBER, of=NUMBER), "redeemed")
    paid = _after(people, frame(arms.paid, person=TEXT, at=NUMBER, of=NUMBER), "paid")
    for part in (ordered, redeemed, paid):
        clusters = clusters.join(part, on="cluster", how="left")
    return clusters.with_columns(pl.exclude("cluster", "arm", "slot").fill_null(0)).select(
        "cluster",
        "arm",
        "slot",
        *(pl.col(name).cast(pl.Float64) for name in COVARIATES),
        *(
            one.cast(pl.Float64).alias(f"{name}@{day}")
            for day in DAYS
            for name, one in (
                ("redemptions", pl.col(f"redeemed_count@{day}")),
                ("orders", pl.col(f"orders@{day}")),
                ("revenue", pl.col(f"revenue@{day}")),
                (
                    "profit",
                    pl.col(f"margin@{day}")
                    - (pl.col(f"redeemed@{day}") + pl.col(f"paid@{day}")) / minor_units,
                ),
            )
        ),
    )


def _ordered(
    people: pl.DataFrame, dataset: Tables, *, margin_rate: float, now: datetime
) -> pl.DataFrame:
    """One row for each cluster with orders near its slot. An order counts when it began."""
    lines = _lines(people, dataset, margin_rate=margin_rate, now=now)
    by_span = ["cluster", "span"]
    money = lines.group_by(by_span).agg(pl.col("amount", "margin").sum())
    begun = lines.drop_nulls("order").group_by("cluster", "order").agg(pl.col("span").min())
    sums = (
        money.join(begun.group_by(by_span).len("orders"), on=by_span, how="left")
        .with_columns(pl.col("orders").fill_null(0))
        .group_by("cluster")
    )
    before = _EDGES.index(0)
    spans = {f"_{-edge}": (at, before) for at, edge in enumerate(_EDGES) if edge < 0}
    spans |= {f"@{edge}": (before, at) for at, edge in enumerate(_EDGES) if edge > 0}
    names = {"_": {"spend": "amount", "orders": "orders"}}
    names["@"] = {"revenue": "amount", "orders": "orders", "margin": "margin"}
    summed = sums.agg(
        pl.col(column)
        .filter((pl.col("span") >= start) & (pl.col("span") < stop))
        .sum()
        .alias(f"{name}{span}")
        for span, (start, stop) in spans.items()
        for name, column in names[span[0]].items()
    )
    return summed.with_columns(
        pl.col(f"spend_{back}").clip(0).log1p().alias(f"log_spend_{back}") for back in LOOKED_BACK
    )


_EDGES = (*(-back for back in sorted(LOOKED_BACK, reverse=True)), 0, *DAYS)
"""days from the slot; a line's span is the place of the last one that it has passed"""


def _lines(
    people: pl.DataFrame, dataset: Tables, *, margin_rate: float, now: datetime
) -> pl.DataFrame:
    """What was bought (with its order) and returned (without): cluster, span, amount, margin."""
    bought, day = pl.col("kind") == "purchase", pl.col("day")
    sign = pl.when(bought).then(1.0).otherwise(-1.0)
    amount = pl.col("amount").fill_null(0.0) * sign
    own = pl.col("margin") * pl.col("quantity").fill_null(1.0) * sign
    margins = dataset.known("products", now, undated=True).select("product_id", "margin")
    named = pl.coalesce("order_id", pl.col("at").cast(pl.String))
    order = pl.concat_str("member_id", named, separator="\x00")
    return (
        dataset.scan("events")
        .filter(pl.col("kind").is_in(["purchase", "return"]) & (pl.col("occurred_at") <= now))
        .with_columns(pl.col("occurred_at").dt.epoch("us").alias("at"))
        .join(people.lazy().select("member_id", "cluster", "slot"), on="member_id")
        .with_columns(((pl.col("at") - pl.col("slot")) / DAY).alias("day"))
        .filter((day >= _EDGES[0]) & (day < _EDGES[-1]))
        .join(margins.lazy(), on="product_id", how="left")
        .select(
            "cluster",
            pl.sum_horizontal((day >= edge).cast(pl.Int8) for edge in _EDGES[1:]).alias("span"),
            pl.when(bought).then(order).alias("order"),
            amount.alias("amount"),
            pl.coalesce(own, margin_rate * amount).alias("margin"),
        )
        .collect()
    )


def _after(people: pl.DataFrame, rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Number and sum of a cluster's rows through each day after its slot."""
    dated = rows.join(people, on="person").with_columns(
        ((pl.col("at") - pl.col("slot")) / DAY).alias("day")
    )
    since = [(through, (pl.col("day") >= 0) & (pl.col("day") < through)) for through in DAYS]
    return dated.group_by("cluster").agg(
        *(near.sum().alias(f"{name}_count@{through}") for through, near in since),
        *(pl.col("of").filter(near).sum().alias(f"{name}@{through}") for through, near in since),
    )
