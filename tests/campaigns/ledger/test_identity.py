"""One spelling for each contact point, on every channel."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.ledger.identity import CHANNELS, NORMALISER, Identity, normalise


@pytest.mark.parametrize(
    ("channel", "address", "spelling"),
    [
        ("email", " Ann@Example.INVALID ", "ann@example.invalid"),
        ("sms", "+4915112345678", "+4915112345678"),
        ("sms", " +49 (151) 123-456.78 ", "+4915112345678"),
        ("sms", "+1/415/555/2671", "+14155552671"),
        ("push", " fcm:APA91b_Case-Counts ", "fcm:APA91b_Case-Counts"),
        ("push", "https://push.example/Send/abc", "https://push.example/Send/abc"),
    ],
)
def test_every_way_to_write_a_contact_point_is_one(channel, address, spelling):
    assert normalise(channel, address) == spelling
    key = Identity(b"k" * 32)
    assert key.contact(channel, address) == key.contact(channel, spelling)


@pytest.mark.parametrize(
    ("channel", "address", "says"),
    [
        ("sms", "015112345678", "of the form"),
        ("sms", "+0151123456", "of the form"),
        ("sms", "+49151", "of the form"),
        ("sms", "+4915112345678901", "of the form"),
        ("sms", "+49 151 CALL-ME", "of the form"),
        ("sms", "+４９15112345678", "plain ASCII"),
        ("push", "short", "8 to 4,096 letters"),
        ("push", "two words or more", "8 to 4,096 letters"),
        ("push", "x" * 4097, "8 to 4,096 letters"),
        ("push", "token-of\nann", "line break"),
        ("push", "", "8 to 4,096 letters"),
    ],
)
def test_what_is_no_contact_point_is_refused(channel, address, says):
    with pytest.raises(ValueError, match=says):
        normalise(channel, address)


@given(st.sampled_from(CHANNELS), st.text(max_size=30))
def test_a_spelling_is_its_own_spelling_and_one_line(channel, address):
    try:
        spelling = normalise(channel, address)
    except ValueError:
        return
    assert normalise(channel, spelling) == spelling
    assert re.fullmatch(r"[!-~]+", spelling)


def test_the_same_text_on_two_channels_is_two_contact_points():
    key = Identity(b"k" * 32)
    assert key.contact("sms", "+4915112345678") != key.contact("push", "+4915112345678")


def test_ledgers_of_before_still_know_their_contact_points():
    """The hashes of an earlier version: a new channel must not change the rule of another."""
    assert NORMALISER == 1
    key = Identity(b"k" * 32)
    assert key.contact("email", "Ann@Example.invalid") == "b7fb2b5456c8472c9d64b5248d5f09a4"
    assert key.contact("email", "\u212aelvin@example.invalid") == (
        "69896314c3502aa162cd0bec55d634fb"  # a Kelvin sign
    )


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=20, unique=True))
def test_an_occasions_send_ids_lie_together_in_the_order_of_its_persons(members):
    key = Identity(b"k" * 32)
    persons = sorted(key.person(member) for member in members)
    ids = {day: [key.send_id(f"spring@{day}", one) for one in persons] for day in ("1", "2")}
    for some in ids.values():
        assert some == sorted(set(some))
        assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in some)
    in_all = sorted(ids["1"] + ids["2"])
    assert in_all in (ids["1"] + ids["2"], ids["2"] + ids["1"])
