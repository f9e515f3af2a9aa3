"""The table that the arms are compared by, against a slow twin that counts one by one."""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.instants import DAY, to_micros
from campaigns.ledger.arms import Arms
from campaigns.lift.always import DAYS
from campaigns.lift.outcomes import LOOKED_BACK, known_until, outcomes
from campaigns.lift.sample import Sample
from recsys.dataset import Dataset
from tests.campaigns.kit import NOW

MEMBERS = ("a", "b", "c", "d")
CLUSTER = {"a": "ab", "b": "ab", "c": "c", "d": "d"}
RATE, MARGIN = 0.25, 3.0
TIME = pl.Datetime("us", "UTC")
END = NOW + timedelta(days=60)

event = st.fixed_dictionaries(
    {
        "member_id": st.sampled_from([*MEMBERS, "stranger", None]),
        "product_id": st.sampled_from(["tea", "milk", "unknown"]),
        "kind": st.sampled_from(["purchase", "purchase", "return", "view"]),
        "days": st.floats(-100, 70).map(lambda days: round(days, 2)) | st.sampled_from([0.0, 7.0]),
        "order_id": st.sampled_from(["o1", "o2", None]),
        "quantity": st.sampled_from([1.0, 2.0, None]),
        "amount": st.sampled_from([4.0, 10.0, None]),
    }
)
dated = st.tuples(st.sampled_from(MEMBERS), st.floats(-5, 40), st.integers(0, 500))


def dataset_of(folder, events):
    rows = [
        {k: v for k, v in one.items() if k != "days"}
        | {"occurred_at": NOW + timedelta(days=one["days"])}
        for one in events
    ]
    schema = {
        "member_id": pl.String, "product_id": pl.String, "kind": pl.String,
        "order_id": pl.String, "quantity": pl.Float64, "amount": pl.Float64, "occurred_at": TIME,
    }  # fmt: skip
    pl.DataFrame(rows, schema).write_parquet(folder / "events.parquet")
    pl.DataFrame(
        {"product_id": ["tea", "milk"], "margin": pl.Series([None, MARGIN], dtype=pl.Float64)}
    ).write_parquet(folder / "products.parquet")
    return Dataset(folder)


def sample_of(slots, erased=()):
    """slots: days after NOW of each cluster."""
    return Sample(
        pl.DataFrame(
            {
                "epoch": 1,
                "person": [f"p-{member}" for member in MEMBERS],
                "cluster": [CLUSTER[member] for member in MEMBERS],
                "arm": ["treat" if CLUSTER[member] == "ab" else "holdout" for member in MEMBERS],
                "slot": [micros(slots[CLUSTER[member]]) for member in MEMBERS],
                "first": True,
                "erased": [CLUSTER[member] in erased for member in MEMBERS],
            }
        )
    )


def micros(days):
    return to_micros(NOW) + round(days * DAY)


def arms_with(paid, redeemed):
    empty = {name: [] for name in Arms.__dataclass_fields__}
    rows = [[(f"p-{m}", micros(day), of) for m, day, of in some] for some in (paid, redeemed)]
    return Arms(**(empty | {"paid": rows[0], "redeemed": rows[1]}))


def table_of(folder, events, slots, *, paid=(), redeemed=(), erased=()):
    members = {f"p-{member}": None if CLUSTER[member] in erased else member for member in MEMBERS}
    return outcomes(
        sample_of(slots, erased),
        arms_with(paid, redeemed),
        dataset_of(folder, events),
        members,
        margin_rate=RATE,
        minor_units=100,
        now=END,
    )


def slow(events, slots, paid, redeemed):
    """cluster → column → value"""
    found = {}
    for cluster, slot in slots.items():
        own = [
            (one, micros(one["days"]) - micros(slot))
            for one in events
            if CLUSTER.get(one["member_id"]) == cluster and micros(one["days"]) <= to_micros(END)
        ]

        def within(low, high, own=own):
            return [one for one, at in own if low * DAY <= at < high * DAY]

        def money(some):
            return sum(sign(one) * (one["amount"] or 0.0) for one in some)

        def name(one):
            return one["member_id"], one["order_id"] or one["days"]

        begun = {}  # by the first line that is looked at
        for one, at in own:
            if one["kind"] == "purchase" and -max(LOOKED_BACK) * DAY <= at < max(DAYS) * DAY:
                begun[name(one)] = min(at, begun.get(name(one), at))

        def orders(low, high, begun=begun):
            return sum(low * DAY <= at < high * DAY for at in begun.values())

        def margin(some):
            return sum(
                sign(one) * MARGIN * (one["quantity"] or 1.0)
                if one["product_id"] == "milk"
                else sign(one) * RATE * (one["amount"] or 0.0)
                for one in some
            )

        row = {}
        for back in LOOKED_BACK:
            row[f"orders_{back}"] = orders(-back, 0)
            row[f"spend_{back}"] = money(within(-back, 0))
        for day in DAYS:
            of = [
                [n for m, at, n in some
                 if CLUSTER[m] == cluster and 0 <= micros(at) - micros(slot) < day * DAY]
                for some in (redeemed, paid)
            ]  # fmt: skip
            since = within(0, day)
            row[f"redemptions@{day}"] = len(of[0])
            row[f"orders@{day}"] = orders(0, day)
            row[f"revenue@{day}"] = money(since)
            row[f"profit@{day}"] = margin(since) - (sum(of[0]) + sum(of[1])) / 100
        found[cluster] = row
    return found


def sign(one):
    return {"purchase": 1, "return": -1, "view": 0}[one["kind"]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    events=st.lists(event, max_size=25),
    slots=st.fixed_dictionaries(dict.fromkeys(("ab", "c", "d"), st.sampled_from([0.0, 0.5, 3.0]))),
    paid=st.lists(dated, max_size=6),
    redeemed=st.lists(dated, max_size=6),
)
def test_it_counts_what_the_slow_twin_counts(tmp_path, events, slots, paid, redeemed):
    table = table_of(tmp_path, events, slots, paid=paid, redeemed=redeemed)
    expected = slow(events, slots, paid, redeemed)
    assert table["cluster"].to_list() == sorted(expected)
    for row in table.iter_rows(named=True):
        for name, value in expected[row["cluster"]].items():
            assert row[name] == pytest.approx(value), (row["cluster"], name)


def test_a_cluster_with_an_erased_member_has_no_row(tmp_path):
    table = table_of(tmp_path, [], {"ab": 0.0, "c": 0.0, "d": 0.0}, erased=("ab",))
    assert table["cluster"].to_list() == ["c", "d"]


def test_what_is_known_ends_with_the_last_event_or_now(tmp_path):
    view = {"member_id": None, "product_id": "tea", "kind": "view", "order_id": None,
            "quantity": None, "amount": None}  # fmt: skip
    dataset = dataset_of(tmp_path, [view | {"days": 2.0}, view | {"days": 70.0}])
    assert known_until(dataset, NOW + timedelta(days=5)) == micros(5.0)
    assert known_until(dataset, NOW + timedelta(days=90)) == micros(70.0)
    assert known_until(dataset_of(tmp_path, []), NOW) == 0
