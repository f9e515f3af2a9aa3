"""What a member says counts from then on, whatever clocks and imports say; nothing is rewritten."""

import secrets
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from campaigns.ledger.calls import Claimed, Declined
from campaigns.ledger.claims import claim
from campaigns.ledger.consent import Statement, record, standings, suppress
from campaigns.ledger.preferences import Change, Preference, prefer, preference
from tests.campaigns.kit import NOW, WEEK, a_claim, consenting, live_plan

NO, YES = Change(False, None), Change(True, None)
SOON = NOW + timedelta(seconds=60)


def say(ledger, member, change, now=NOW):
    prefer(ledger, member, {"email": change}, now=now)


def wants(ledger, member="ann"):
    return preference(ledger, member, "email")


def one_claim(ledger, plan, who, now=NOW):
    (result,) = claim(ledger, [a_claim(plan, who)], now=now, until=SOON)
    return result


def test_who_never_said_anything_wants_nothing(ledger):
    assert wants(ledger, "nobody") == Preference(push=False, stopped=False, language=None)


@pytest.mark.parametrize("behind", [timedelta(0), timedelta(seconds=-1), -WEEK])
def test_after_a_no_no_claim_commits_whatever_that_machines_clock_said(ledger, behind):
    who, plan = consenting(ledger, "ann"), live_plan(ledger)
    say(ledger, "ann", YES)
    say(ledger, "ann", NO, NOW + behind)
    assert not wants(ledger).push
    assert one_claim(ledger, plan, who).reason == "no_consent"
    say(ledger, "ann", YES, NOW + behind)
    assert isinstance(one_claim(ledger, plan, who, NOW + timedelta(seconds=1)), Claimed)


def test_a_no_stands_against_an_older_yes_that_is_imported_later(ledger):
    who, plan = consenting(ledger, "ann"), live_plan(ledger)
    say(ledger, "ann", NO, NOW - timedelta(hours=2))
    say(ledger, "ann", NO)
    yes = Statement("ann", "email", "ann@example.invalid", True, NOW - timedelta(hours=1), "shop")
    record(ledger, [yes], now=NOW)
    assert isinstance(one_claim(ledger, plan, who), Declined)
    assert not standings(ledger, "email")[who[0]].granted


def test_a_yes_never_reopens_what_was_stopped(ledger):
    who, plan = consenting(ledger, "ann"), live_plan(ledger)
    suppress(ledger, who, reason="unsubscribed", now=NOW)
    say(ledger, "ann", YES)
    assert wants(ledger) == Preference(push=False, stopped=True, language=None)
    assert one_claim(ledger, plan, who).reason == "suppressed"


def test_another_at_the_same_address_is_not_told(ledger):
    _, shared = consenting(ledger, "ann", "family@example.invalid")
    consenting(ledger, "bob", "family@example.invalid")
    suppress(ledger, [ledger.identity.person("bob"), shared], reason="unsubscribed", now=NOW)
    assert wants(ledger, "bob").stopped
    assert wants(ledger) == Preference(push=True, stopped=False, language=None)


def test_a_language_is_kept_with_the_address(ledger):
    say(ledger, "ann", Change(None, "de"))
    assert wants(ledger).language is None, "there is no address to write to"
    who = consenting(ledger, "ann")
    say(ledger, "ann", Change(None, "de"))
    say(ledger, "ann", Change(None, "pt-BR"), NOW - 2 * WEEK)
    assert wants(ledger) == Preference(push=True, stopped=False, language="pt-BR")
    standing = standings(ledger, "email")[who[0]]
    assert (standing.language, standing.contact, standing.address) == (
        "pt-BR", who[1], "ann@example.invalid",
    )  # fmt: skip


def test_the_histories_only_grow(ledger):
    person, _ = consenting(ledger, "ann")
    histories = []
    for change in (NO, NO, YES, Change(False, "de"), Change(None, "de")):
        say(ledger, "ann", change)
        with ledger.reading() as connection:
            rows = {
                table: list(
                    connection.execute(
                        text(f"SELECT * FROM {table} WHERE person = :p ORDER BY seq"),
                        {"p": person},
                    )
                )
                for table in ("consent", "contact_point")
            }
        histories.append(rows)
    for before, after in pairwise(histories):
        assert all(after[table][: len(before[table])] == before[table] for table in after)
    assert [row.source for row in histories[-1]["consent"]] == ["test"] + ["preferences"] * 4
    assert [row.source for row in histories[-1]["contact_point"]] == ["test", "preferences"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=8))
def test_what_was_said_last_counts_in_whatever_order_the_clocks_stood(ledger, said):
    member = secrets.token_hex(8)
    consenting(ledger, member)
    for push, seconds in said:
        say(ledger, member, Change(push, None), NOW + timedelta(seconds=seconds))
        assert wants(ledger, member).push is push
