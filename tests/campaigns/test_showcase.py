"""Products of messages are looked up for the rows that are being sent, not for the whole plan."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from campaigns import shop as of_shop
from campaigns.account import Account
from campaigns.plan import Plan
from campaigns.run import plan_campaign, plan_renderer
from campaigns.send.remainder import chunks
from tests.campaigns.kit import MEMBERS, Clock, composition, definition
from tests.campaigns.test_templates import messages


@pytest.fixture
def shop(tmp_path):
    return composition(tmp_path, Clock())


@pytest.mark.parametrize("size", [1, 3, 100])
def test_products_are_the_same_however_many_are_looked_up_at_a_time(shop, monkeypatch, size):
    whole_plan = messages(shop)
    monkeypatch.setattr(of_shop, "_CHUNK", size)
    assert messages(shop) == whole_plan
    assert "Green tea" in whole_plan["m0"].text
    assert "Bread" in whole_plan["m1"].text
    assert set(whole_plan) == set(MEMBERS[:-1])


def test_only_the_members_that_are_asked_for_are_looked_up(shop, monkeypatch):
    monkeypatch.setattr(of_shop, "_CHUNK", 2)
    asked = []
    looked_up = of_shop.showcase

    def watched(*args, **facts):
        made = looked_up(*args, **facts)

        class Watched:
            coupon = staticmethod(made.coupon)

            @staticmethod
            def products(pairs):
                asked.append(pairs["member_id"].to_list())
                return made.products(pairs)

        return Watched

    monkeypatch.setattr(of_shop, "showcase", watched)
    plan = plan_campaign(shop, definition())[0]
    with shop.open_ledger() as ledger:
        say = plan_renderer(shop, plan, ledger)
        assert asked == []
        for member in ("m2", "m3", "m2", "m6"):
            say(member, "c1", "id", "a@example.invalid", None)
    assert asked == [["m2", "m3"], ["m6"]]


@pytest.mark.parametrize("size", [0, 1, 1_024, 20_480, 50_001])
def test_a_sender_asks_for_neighbours_together_and_for_everyone_once(size):
    rows = pl.DataFrame({"member_id": range(size), "decision": ["push"] * size})
    plan = Plan(
        "p", "o", rows, Account(occasions=[], value=0, bound=0, gap=0, caps=[], minimums=[])
    )
    parts = [part["member_id"].to_list() for part in chunks(plan, np.random.default_rng(4))]
    assert sorted(member for part in parts for member in part) == list(range(size))
    looked_up = [part[0] // of_shop._CHUNK for part in parts]
    changes = sum(one != other for one, other in pairwise(looked_up))
    assert changes == max(0, math.ceil(size / of_shop._CHUNK) - 1)
    assert size < 50_000 or parts != sorted(parts)


def test_pairs_may_come_in_any_order(shop, monkeypatch):
    monkeypatch.setattr(of_shop, "_CHUNK", 2)
    plan = plan_campaign(shop, definition())[0]
    mixed = replace(plan, rows=plan.rows.sort("member_id", descending=True))
    with shop.open_ledger() as ledger:
        one, other = plan_renderer(shop, plan, ledger), plan_renderer(shop, mixed, ledger)
        for member in MEMBERS[:-1]:
            asked = (member, "c1", "id", "a@example.invalid", None)
            assert other(*asked) == one(*asked)
