"""Who was planned for, in which arm, and since when: one row for each person.

The unit of the draw is the contact point that a person had when drawn: a cluster. Everyone who was
planned for counts in the arm that was drawn, whether reached or not (intent to treat).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from campaigns.instants import to_micros
from campaigns.ledger.arms import Arms
from campaigns.ledger.identity import Identity

TEXT, NUMBER = pl.String(), pl.Int64()
_PEOPLE = {
    "occasion": TEXT, "epoch": NUMBER, "person": TEXT, "cluster": TEXT, "arm": TEXT,
    "slot": NUMBER, "first": pl.Boolean(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """Some planned people of one campaign."""

    people: pl.DataFrame
    """epoch, person, cluster, arm (`treat` `holdout`), slot (of the cluster: the first claim, or
    the window's start), first (planned by the first plan), erased"""

    def clusters(self, arm: str | None = None) -> pl.Series:
        """Distinct contact points, sorted."""
        some = self.people if arm is None else self.people.filter(pl.col("arm") == arm)
        return some["cluster"].unique().sort()


def frame(rows: Sequence[tuple[object, ...]], **columns: pl.DataType) -> pl.DataFrame:
    """Rows of the ledger under names."""
    return pl.DataFrame(rows, columns, orient="row")


def planned(arms: Arms, still_open: Iterable[tuple[str, str]], identity: Identity) -> pl.DataFrame:
    """One row for each occasion and person that was planned for. Columns: see _PEOPLE.

    still_open: plan id and send id of live plans' rows that have no outcome yet. A plan that was
    replaced before any of it was sent counts nothing: it did nothing.
    """
    plans = frame(arms.plans, plan_id=TEXT, occasion=TEXT, registered=NUMBER)
    if plans.is_empty():
        return pl.DataFrame(schema=_PEOPLE)
    started = frame(
        [(number, at) for number, _, at in arms.epochs], epoch=NUMBER, started=NUMBER
    ).sort("started")
    plans = plans.sort("registered").join_asof(started, left_on="registered", right_on="started")
    claims = frame([(key, at) for _, key, *_, at in arms.claims], send_id=TEXT, at=NUMBER)
    taken = [(plan_id, key) for plan_id, key, *_ in arms.claims]
    rows = frame([*arms.planned, *still_open, *taken], plan_id=TEXT, send_id=TEXT).unique()
    rows = rows.join(plans, on="plan_id")
    assigned = frame(arms.assigned, epoch=NUMBER, person=TEXT, cluster=TEXT, arm=TEXT)
    return (
        rows.join(_named(rows, arms, identity), on="send_id")
        .join(assigned, on=["epoch", "person"])
        .join(claims, on="send_id", how="left")
        .join(_windows(rows["occasion"].unique()), on="occasion")
        .with_columns(
            pl.coalesce("at", "starts").alias("slot"),
            (pl.col("registered") == pl.col("registered").min().over("occasion")).alias("first"),
        )
        .group_by("occasion", "epoch", "person", "cluster", "arm")
        .agg(pl.col("slot").min(), pl.col("first").any())
        .select(*_PEOPLE)
        .sort("occasion", "epoch", "person", "arm")
    )


def _named(rows: pl.DataFrame, arms: Arms, identity: Identity) -> pl.DataFrame:
    """Whose send ids they are. Claims say so; of other rows the ledger has the send id alone, so
    everyone's is made again for their occasion."""
    found = {key: person for _, key, person, *_ in arms.claims}
    people = sorted({person for _, person, *_ in arms.assigned})
    unclaimed = rows.filter(~pl.col("send_id").is_in(list(found))).select("occasion", "send_id")
    for (occasion,), some in unclaimed.group_by("occasion"):
        wanted = set(some["send_id"].to_list())
        for person in people:
            key = identity.send_id(str(occasion), person)
            if key in wanted:
                found[key] = person
    return frame(list(found.items()), send_id=TEXT, person=TEXT)


def _windows(occasions: pl.Series) -> pl.DataFrame:
    starts = [
        (one, to_micros(datetime.fromisoformat(one.rpartition("@")[2])))
        for one in occasions.to_list()
    ]
    return frame(starts, occasion=TEXT, starts=NUMBER)


def sample(rows: pl.DataFrame, members: Mapping[str, str | None]) -> Sample:
    """Of some rows of `planned`: each person once, at the first slot of the cluster.

    members: person → member id; None for an erased one, whose whole cluster is left out later.
    """
    people = rows.group_by("epoch", "person", "cluster", "arm").agg(
        pl.col("slot").min(), pl.col("first").any()
    )
    known = [person for person, member in members.items() if member is not None]
    erased = (~pl.col("person").is_in(known)).any().over("epoch", "cluster")
    return Sample(
        people.with_columns(
            pl.col("slot").min().over("epoch", "cluster"), erased.alias("erased")
        ).sort("epoch", "person")
    )


def member_ids(arms: Arms) -> dict[str, str | None]:
    """Person → member id; None for who was erased, whatever was imported later."""
    found: dict[str, str | None] = {}
    for person, _, member in arms.points:
        found[person] = None if member is None else found.get(person, member)
    return found
