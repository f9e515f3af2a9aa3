"""No accepted forgery: whatever is done to a token, it is whole and in time, or refused."""

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serving.doors import tokens
from serving.doors.tokens import Claims, InvalidTokenError, Secret, sign, verify

NOW = 1_800_000_000.0
CLAIMS = Claims("member", "ann", int(NOW) + 60, "guesslike", "k1")
OTHERS = Claims("member", "bob", int(NOW) + 60, "guesslike", "k1")


def secret(name: str) -> Secret:
    return Secret(id=name, key=secrets.token_hex(32), created=datetime(2026, 1, 1, tzinfo=UTC))


OURS, BEFORE, FOREIGN = secret("aaaa"), secret("bbbb"), secret("aaaa")
KNOWN = {one.id: one for one in (BEFORE, OURS)}
TOKEN = sign(CLAIMS, OURS)


@dataclass(frozen=True)
class _Under:
    audience: str = "guesslike"
    now: float = NOW
    longest: int = 900


def opens(token: str, under: _Under = _Under()) -> Claims | None:
    """What it says, or None; any other error than a refusal fails the test."""
    try:
        return verify(token, KNOWN, audience=under.audience, now=under.now, longest=under.longest)
    except InvalidTokenError:
        return None


def test_a_token_says_who_it_is_for() -> None:
    assert opens(TOKEN) == CLAIMS
    assert opens(sign(CLAIMS, BEFORE)) == CLAIMS


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)


@given(member=IDS, kind=st.sampled_from(["member", "visitor"]), left=st.integers(1, 900))
def test_any_id_comes_back_as_it_was(member: str, kind: str, left: int) -> None:
    claims = Claims(kind, member, int(NOW) + left, "guesslike", "k1")  # type: ignore[arg-type]
    token = sign(claims, OURS)
    assert len(token) <= tokens.LONGEST
    assert opens(token) == claims


@given(at=st.integers(0, len(TOKEN) - 1), other=st.characters())
def test_no_other_character_anywhere_opens(at: int, other: str) -> None:
    assume(other != TOKEN[at])
    assert opens(TOKEN[:at] + other + TOKEN[at + 1 :]) is None


def test_no_other_byte_anywhere_opens() -> None:
    for at in range(len(TOKEN)):
        for bit in range(8):
            edited = TOKEN[:at] + chr(ord(TOKEN[at]) ^ (1 << bit)) + TOKEN[at + 1 :]
            assert opens(edited) is None, edited


@given(start=st.integers(0, len(TOKEN)), stop=st.integers(0, len(TOKEN)))
def test_no_piece_opens(start: int, stop: int) -> None:
    assume((start, stop) != (0, len(TOKEN)))
    assert opens(TOKEN[start:stop]) is None


@given(before=st.text(max_size=3), after=st.text(max_size=3))
def test_nothing_may_stand_around_it(before: str, after: str) -> None:
    assume(before or after)
    assert opens(before + TOKEN + after) is None


@given(st.text() | st.from_regex(r"glt1\.(aaaa|bbbb)\.[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*"))
def test_nothing_made_up_opens(text: str) -> None:
    assert opens(text) is None


@given(st.lists(st.sampled_from([TOKEN, sign(OTHERS, OURS), sign(CLAIMS, BEFORE)]), min_size=4,
                max_size=4))  # fmt: skip
def test_no_mixture_of_valid_tokens_opens(parts: list[str]) -> None:
    mixed = ".".join(token.split(".")[at] for at, token in enumerate(parts))
    if mixed not in parts:
        assert opens(mixed) is None


def test_the_last_character_has_one_spelling() -> None:
    """The spare bits of base64 would otherwise give each token fifteen twins."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [one for one in alphabet if opens(TOKEN[:-1] + one)] == [TOKEN[-1]]


@given(
    change=st.fixed_dictionaries(
        {},
        optional={"id": IDS, "expires": st.integers(), "issuer": st.text(), "audience": st.text()},
    )
)
def test_rewritten_claims_do_not_open_under_the_old_mac(change: dict[str, object]) -> None:
    head, name, _, mac = TOKEN.split(".")
    claims = msgspec.structs.replace(CLAIMS, **change)
    assume(claims != CLAIMS)
    text = urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=").decode()
    assert opens(f"{head}.{name}.{text}.{mac}") is None


def test_another_secret_under_the_same_name_does_not_open() -> None:
    assert opens(sign(CLAIMS, FOREIGN)) is None
    assert opens(sign(CLAIMS, secret("cccc"))) is None


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256", "typ": "JWT"}])
@pytest.mark.parametrize("mac", ["", "AAAA"])
def test_a_token_that_brings_its_own_algorithm_does_not_open(
    header: dict[str, str], mac: str
) -> None:
    head = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    body = TOKEN.split(".")[2]
    for text in (f"{head}.{body}.{mac}", f"glt1.{head}.{body}.{mac}", f"glt1.aaaa.{body}.{mac}"):
        assert opens(text) is None


def test_it_ends_on_the_second_and_stays_ended() -> None:
    assert opens(TOKEN, _Under(now=CLAIMS.expires - 0.001)) == CLAIMS
    for later in (0, 0.001, 1, 1e6):
        assert opens(TOKEN, _Under(now=CLAIMS.expires + later)) is None


def test_for_another_installation_it_does_not_open() -> None:
    assert opens(TOKEN, _Under(audience="guesslike-staging")) is None
    assert opens(TOKEN, _Under(audience="")) is None


def test_one_that_lives_longer_than_is_given_now_does_not_open() -> None:
    assert opens(TOKEN, _Under(longest=30)) is None
    assert opens(TOKEN, _Under(now=NOW - 1e6)) is None, "signed under a clock far ahead"


def test_the_secret_is_in_no_token_and_no_representation() -> None:
    assert OURS.key not in TOKEN
    assert bytes.fromhex(OURS.key) not in urlsafe_b64decode(TOKEN.split(".")[2] + "==")
    assert OURS.key not in repr(OURS) + str(OURS)


def test_secrets_lie_apart_for_their_owner_and_two_open(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    tokens.renew(tmp_path, now=at, only_first=True)
    tokens.renew(tmp_path, now=at, only_first=True)
    (first,) = tokens.read(tmp_path)
    assert (tmp_path / tokens.FILE).stat().st_mode & 0o777 == 0o600
    tokens.renew(tmp_path, now=at)
    assert tokens.read(tmp_path)[0] == first
    tokens.renew(tmp_path, now=at)
    assert len(tokens.read(tmp_path)) == tokens.KEPT
    assert first not in tokens.read(tmp_path)
