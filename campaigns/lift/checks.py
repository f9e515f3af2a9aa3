"""Whether the two arms may be compared at all."""

from dataclasses import dataclass

import polars as pl
from scipy.stats import binomtest

from campaigns.instants import DAY
from campaigns.ledger.arms import Arms
from campaigns.lift.always import DAYS
from campaigns.lift.facts import Check
from campaigns.lift.sample import NUMBER, TEXT, Sample, frame

MISMATCH = 0.001
"""a split of the arms that chance makes so seldom is taken for a fault"""
TOLERATED = 0.01
"""of the smaller arm: so many crossed clusters change an effect by no more than that share"""


@dataclass(frozen=True, slots=True)
class _Pushes:
    """Of the sample's epoch, those that went out; ghosts apart."""

    people: pl.Series
    contacts: pl.Series
    ghosts: pl.Series
    """people who were kept out"""


def checks(sample: Sample, rows: pl.DataFrame, arms: Arms, *, share: float) -> list[Check]:
    """rows: all that the campaign planned; share: that the sample's epoch holds out."""
    pushes = _pushes(sample, arms)
    drawn = frame(arms.assigned, epoch=NUMBER, person=TEXT, cluster=TEXT, arm=TEXT)
    drawn = drawn.filter(pl.col("epoch").is_in(sample.people["epoch"].unique().to_list()))
    smaller = min(len(sample.clusters("treat")), len(sample.clusters("holdout")))
    most = int(TOLERATED * smaller)
    mixed = _mixed(drawn, sample)
    leaked = len(_reached(sample, pushes))
    crossed, changed = len(_crossed(sample, arms, pushes)), len(_changed(sample, rows))
    near = f"an earlier or later draw within {max(DAYS)} days"
    return [
        _ratio("sample ratio", sample, share, erased=True),
        _ratio("sample ratio without erased members", sample, share, erased=False),
        _none("held out and pushed", leaked, "that are held out got a push of it"),
        _none("in both arms", mixed, "are in both arms"),
        _few("shared contact points", crossed, most, "share members with the other arm"),
        _few("arms that changed", changed, most, f"were planned for in the other arm of {near}"),
    ]


def _none(name: str, count: int, what: str) -> Check:
    return Check(name, f"{count:,} contact points {what}", count == 0)


def _few(name: str, count: int, most: int, what: str) -> Check:
    return Check(name, f"{count:,} contact points {what}; {most:,} may", count <= most)


def sample_ratio(treated: int, held_out: int, share: float) -> float:
    """The chance of a split at least as unlikely as this one (exact binomial test)."""
    total = treated + held_out
    return float(binomtest(held_out, total, share).pvalue) if total else 1.0


def _ratio(name: str, sample: Sample, share: float, *, erased: bool) -> Check:
    people = sample.people if erased else sample.people.filter(~pl.col("erased"))
    some = Sample(people)
    treated, held_out = len(some.clusters("treat")), len(some.clusters("holdout"))
    chance = sample_ratio(treated, held_out, share)
    found = held_out / max(treated + held_out, 1)
    return Check(
        name,
        f"{found:.2%} of the planned contact points are held out, {share:.2%} were to be; "
        f"chance p = {chance:.2g}",
        chance >= MISMATCH,
    )


def _pushes(sample: Sample, arms: Arms) -> _Pushes:
    epochs = dict(zip(*_started(arms), strict=True))
    of_sample = set(sample.people["epoch"].unique().to_list())
    later = [at for epoch, at in epochs.items() if epoch > max(of_sample, default=0)]
    since = min((epochs[epoch] for epoch in of_sample), default=0)
    claims = frame(
        [row[2:] for row in arms.claims], person=TEXT, contact=TEXT, ghost=NUMBER, at=NUMBER
    ).filter((pl.col("at") >= since) & (pl.col("at") < min(later, default=2**62)))
    sent = claims.filter(pl.col("ghost") == 0)
    return _Pushes(sent["person"], sent["contact"], claims.filter(pl.col("ghost") == 1)["person"])


def _started(arms: Arms) -> tuple[list[int], list[int]]:
    return [row[0] for row in arms.epochs], [row[2] for row in arms.epochs]


def _reached(sample: Sample, pushes: _Pushes) -> pl.Series:
    """Held-out clusters that a push went to, whoever it was for."""
    held = sample.people.filter(pl.col("arm") == "holdout")
    hit = pl.col("person").is_in(pushes.people.implode()) | pl.col("cluster").is_in(
        pushes.contacts.implode()
    )
    return held.filter(hit)["cluster"].unique()


def _crossed(sample: Sample, arms: Arms, pushes: _Pushes) -> pl.Series:
    """Held-out clusters whose members a push reached at another contact point or as another member,
    and treated ones that were kept out for another's."""
    points = frame(
        [(person, contact) for person, contact, _ in arms.points], person=TEXT, contact=TEXT
    )
    reached = points.filter(pl.col("contact").is_in(pushes.contacts.implode()))["person"]
    both_ways = [pair for one, other in arms.merged for pair in ((one, other), (other, one))]
    same = frame(both_ways, person=TEXT, other=TEXT)
    merged = same.filter(pl.col("other").is_in(pushes.people.implode()))["person"]
    held = sample.people.filter(
        (pl.col("arm") == "holdout")
        & pl.col("person").is_in(pl.concat([reached, merged]).implode())
    )
    kept = sample.people.filter(
        (pl.col("arm") == "treat") & pl.col("person").is_in(pushes.ghosts.implode())
    )
    return pl.concat([held["cluster"], kept["cluster"]]).unique()


def _mixed(drawn: pl.DataFrame, sample: Sample) -> int:
    both = drawn.group_by("epoch", "cluster").agg(pl.col("arm").n_unique().alias("arms"))
    mixed = both.filter(pl.col("arms") > 1)["cluster"]
    return int(sample.clusters().is_in(mixed.implode()).sum())


def _changed(sample: Sample, rows: pl.DataFrame) -> pl.Series:
    """Clusters whose members were planned for in the other arm of another epoch, near in time."""
    own = sample.people.select("person", "cluster", "epoch", "arm", "slot")
    both = own.join(rows.select("person", "epoch", "arm", "slot"), on="person", suffix="_other")
    apart = (pl.col("slot") - pl.col("slot_other")).abs() < max(DAYS) * DAY
    return both.filter(
        (pl.col("epoch") != pl.col("epoch_other")) & (pl.col("arm") != pl.col("arm_other")) & apart
    )["cluster"].unique()
