"""Two members become one, on both databases: the week, a no and the holdout hold."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from campaigns.cli import app
from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.calls import Claimed
from campaigns.ledger.claims import claim
from campaigns.ledger.consent import Statement, record, standings, suppress
from campaigns.ledger.erasing import erase
from campaigns.ledger.ledger import wake
from campaigns.ledger.merging import merge
from campaigns.ledger.settling import Ends, settle
from campaigns.verify import verify
from campaigns.ways_in.merges import import_merges, merge_members
from recsys.errors import LedgerError
from tests.campaigns.kit import (
    NOW,
    WEEK,
    Clock,
    a_claim,
    composition,
    consenting,
    live_plan,
    open_test_ledger,
)

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def take(ledger, who, now=NOW, campaign="24"):
    wake(ledger, now=now, max_idle_days=3650)
    plan = live_plan(ledger, campaign)
    (answer,) = claim(ledger, [a_claim(plan, who)], now=now, until=now + MINUTE)
    return answer


def push(ledger, who, now=NOW, campaign="24"):
    answer = take(ledger, who, now, campaign)
    assert isinstance(answer, Claimed), answer
    settle(ledger, [Ends([answer], "accepted", now)])


def join(ledger, merged="old", survivor="new", now=NOW + MINUTE):
    return merge(ledger, merged, survivor, source="test", now=now)


def test_the_survivor_waits_for_the_later_week_and_the_merged_one_for_good(ledger):
    old, new = consenting(ledger, "old"), consenting(ledger, "new")
    push(ledger, new, NOW, "a")
    push(ledger, old, NOW + DAY, "b")
    assert join(ledger, now=NOW + 2 * DAY) == "new"
    assert take(ledger, new, NOW + 2 * DAY, "c").free_at == NOW + DAY + WEEK
    assert take(ledger, old, NOW + 2 * DAY, "d").reason == "no_consent"
    consent_again(ledger, "old", NOW + 3 * DAY)
    assert take(ledger, old, NOW + 900 * DAY, "e").reason == "capped"
    push(ledger, new, NOW + 901 * DAY, "f")
    assert verify(ledger).breaches == ()


def consent_again(ledger, member, at):
    record(ledger, [Statement(member, "email", f"{member}@example.invalid", True, at, "t", "UTC")],
           now=at)  # fmt: skip


def test_a_later_week_of_the_survivors_own_stays_as_it_is(ledger):
    old, new = consenting(ledger, "old"), consenting(ledger, "new")
    push(ledger, old, NOW, "a")
    push(ledger, new, NOW + DAY, "b")
    join(ledger, now=NOW + 2 * DAY)
    assert take(ledger, new, NOW + 2 * DAY, "c").free_at == NOW + DAY + WEEK
    assert verify(ledger).breaches == ()


def test_a_suppression_follows_and_goes_no_other_way(ledger):
    old, new = consenting(ledger, "old"), consenting(ledger, "new")
    suppress(ledger, [old[0]], reason="unsubscribed", now=NOW)
    join(ledger)
    assert take(ledger, new).reason == "suppressed"


@pytest.mark.parametrize(
    ("merged", "survivor", "granted"),
    [
        ((True, 2), (False, 1), False),  # a yes widens nothing
        ((True, 2), None, False),
        ((False, 2), (True, 1), False),  # the later no counts
        ((False, 1), (True, 2), True),
        ((True, 1), (True, 2), True),
    ],
)
def test_consent_is_never_widened(ledger, merged, survivor, granted):
    for member, said in (("old", merged), ("new", survivor)):
        if said is not None:
            address = f"{member}@example.invalid"
            at = NOW - WEEK + said[1] * DAY
            record(ledger, [Statement(member, "email", address, said[0], at, "t")], now=at)
    join(ledger)
    found = standings(ledger, "email").get(ledger.identity.person("new"))
    assert (found is not None and found.granted) == granted
    assert not standings(ledger, "email")[ledger.identity.person("old")].granted


def test_who_is_held_out_stays_so(ledger):
    people = [consenting(ledger, member) for member in ("old", "new", "other")]
    before = assign_arms(ledger, "24", share=0.5, people=people, now=NOW)
    join(ledger)
    assert assign_arms(ledger, "24", share=0.5, people=people, now=NOW + DAY) == before


def test_the_same_again_does_nothing_and_what_cannot_be_says_why(ledger):
    for member in ("old", "new", "other"):
        consenting(ledger, member)
    assert [join(ledger), join(ledger)] == ["new", "known"]
    assert join(ledger, "old", "other") == "merged_elsewhere"
    assert join(ledger, "other", "old") == "survivor_is_gone"
    assert join(ledger, "new", "new") == "same_member"
    assert join(ledger, "new", "other") == "new"  # a chain of them
    with pytest.raises(LedgerError, match="'old' was merged into another"):
        merge_members(ledger, "other", "old", now=NOW)


def test_while_a_call_is_in_flight_nobody_is_merged(ledger):
    old = consenting(ledger, "old")
    answer = take(ledger, old)
    assert join(ledger) == "in_flight"
    settle(ledger, [Ends([answer], "accepted", NOW)])
    assert join(ledger) == "new"


def test_a_file_of_merges_is_idempotent_and_tells_its_rejects(ledger, tmp_path):
    path = tmp_path / "merges.csv"
    path.write_text("merged,survivor\na,b\nb,c\n,d\na,d\ne,e\n")
    first, again = (import_merges(path, ledger, now=NOW) for _ in range(2))
    assert (first.new, first.known) == (2, 0)
    assert [(one.row, one.column) for one in first.rejects] == [
        (4, "merged"), (5, "merged"), (6, "merged"),
    ]  # fmt: skip
    assert (again.new, again.known, again.rejects) == (0, 2, first.rejects)


def test_the_commands_say_what_was_done(tmp_path):

    shop = composition(tmp_path, Clock())
    said = CliRunner().invoke(app, ["merge", "m1", "m0"], obj=shop, catch_exceptions=False)
    assert said.stdout == "m1 is merged into m0.\n"
    path = tmp_path / "merges.csv"
    path.write_text("merged,survivor\nm1,m0\nm2,m0\n")
    said = CliRunner().invoke(app, ["merges", "import", str(path)], obj=shop)
    assert "1 new merges, 1 known before" in said.stdout


@pytest.mark.parametrize("key", ["person", "contact"])
def test_after_an_erasure_a_suppression_outlives_the_next_import(ledger, key):
    ann = consenting(ledger, "ann")
    suppress(ledger, [ann[key == "contact"]], reason="unsubscribed", now=NOW)
    erase(ledger, "ann", now=NOW)
    with ledger.reading() as connection:
        kept = connection.execute(text("SELECT address, member_id FROM contact_point")).all()
        assert {tuple(row) for row in kept} == {(None, None)}
    consent_again(ledger, "ann", NOW + DAY)
    assert take(ledger, ann, NOW + DAY).reason == "suppressed"


@pytest.mark.slow
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["push", "push", "merge", "no", "yes", "stop"]),
                  st.sampled_from("abc"), st.sampled_from("abc"), st.integers(0, 120)),
        max_size=12,
    )
)  # fmt: skip
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whoever_is_merged_no_person_is_pushed_to_twice_a_week(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("merges")
    with open_test_ledger(f"sqlite:///{folder / 'ledger.db'}", folder) as ledger:
        people = {member: consenting(ledger, member) for member in "abc"}
        same = {member: {member} for member in "abc"}
        pushed, stopped, now = {}, set(), NOW
        for number, (what, one, other, hours) in enumerate(steps):
            now += timedelta(hours=hours, microseconds=1)
            if what == "merge":
                if merge(ledger, one, other, source="t", now=now) == "new":
                    whole = same[one] | same[other]
                    same.update(dict.fromkeys(whole, whole))
            elif what in ("yes", "no"):
                record(ledger, [Statement(one, "email", f"{one}@example.invalid", what == "yes",
                                          now, "t", "UTC")], now=now)  # fmt: skip
            elif what == "stop":
                suppress(ledger, [people[one][0]], reason="left", now=now)
                stopped.add(one)
            else:
                answer = take(ledger, people[one], now, f"c{number}")
                if isinstance(answer, Claimed):
                    settle(ledger, [Ends([answer], "accepted", now)])
                    last = max((pushed[m] for m in same[one] if m in pushed), default=None)
                    assert last is None or now - last >= WEEK
                    pushed[one] = now
        assert verify(ledger).breaches == ()
