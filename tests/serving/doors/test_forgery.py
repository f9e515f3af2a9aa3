"""No accepted forgery, whatever is made of true tokens, and when, under keys that come and go."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from serving.doors import keys, tokens
from serving.doors.access import Caller, DeniedError
from serving.doors.door import Doors
from serving.doors.settings import DoorSettings
from serving.doors.tokens import Claims, Secret, sign
from tests.serving.doors.forgeries import rewritten, unsigned
from tests.serving.doors.shop import ENDLESS
from tests.serving.live import Clock

LONGEST = 900
MEMBERS = ["ann", "bob", "bo", "安", "b" * 128]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. \t%\x00é安"


@dataclass(frozen=True)
class Issued:
    """A token that the shop's server was given, and what it said."""

    text: str
    claims: Claims
    secret_id: str


def attacks(given: list[Issued]) -> st.SearchStrategy[str]:
    """What somebody can send who holds these tokens and no secret."""
    texts = [one.text for one in given]
    one = st.sampled_from(texts)
    parts = st.sampled_from([part for text in texts for part in text.split(".")])
    claims = st.builds(
        Claims,
        st.sampled_from(["member", "visitor"]),
        st.sampled_from(MEMBERS),
        st.sampled_from([item.claims.expires for item in given]) | st.integers(0, 2**40),
        st.sampled_from(["guesslike", "staging", ""]),
        st.sampled_from([item.claims.issuer for item in given]),
    )
    own_secret = Secret(id=given[-1].secret_id, key=secrets.token_hex(32), created=Clock().at)
    return st.one_of(
        one,  # replayed as it is
        st.builds(edited, one, st.integers(0, 400), st.sampled_from(ALPHABET), st.integers(0, 2)),
        st.builds(lambda text, size: text[:size], one, st.integers(0, 400)),
        st.lists(parts, max_size=5).map(".".join),
        st.builds(rewritten, one, claims),
        claims.map(lambda said: sign(said, own_secret)),  # by a secret of one's own
        st.builds(unsigned, claims, st.sampled_from(["none", "HS256", "None", ""])),
        st.builds(str.replace, one, st.just("glt1"), st.sampled_from(["glt0", "glt2", "GLT1", ""])),
        # other spellings of the same bytes
        one.map(lambda text: text + "="),
        st.builds(lambda text, last: text[:-1] + last, one, st.sampled_from(ALPHABET[:64])),
        one.map(str.swapcase),
        one.map(lambda text: text.replace("_", "/").replace("-", "+")),
    )


def edited(text: str, at: int, character: str, instead_of: int) -> str:
    at %= len(text) + 1
    return text[:at] + character + text[at + instead_of :]


class Doorway(RuleBasedStateMachine):
    """The doors over a folder, and a plain account of which tokens are good."""

    @initialize()
    def open(self) -> None:
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.clock = Clock()
        self.tick = 0.0
        self.issued: list[Issued] = []
        self.valid_keys: list[str] = []
        self.secrets: list[str] = []
        self.doors = Doors(
            self.path, DoorSettings(token_seconds=LONGEST, **ENDLESS), self.clock, lambda: self.tick
        )
        self.add_key()
        self.renew()
        self.issue("member", "ann", LONGEST, "guesslike")

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule()
    def add_key(self) -> None:
        key, _ = keys.add(self.path, "server", name="", now=self.clock())
        self.valid_keys.append(key.id)
        self.tick += 1  # changes of a key count within a second

    @precondition(lambda self: len(self.valid_keys) > 1)
    @rule()
    def revoke_the_oldest_key(self) -> None:
        keys.revoke(self.path, self.valid_keys.pop(0), now=self.clock())
        self.tick += 1

    @rule()
    def renew(self) -> None:
        tokens.renew(self.path, now=self.clock())
        self.secrets = [secret.id for secret in tokens.read(self.path)]
        self.tick += 1

    @rule(seconds=st.sampled_from([-1_000, -1, 0.5, 1, 30, 899, 901]))
    def the_clock_moves(self, seconds: float) -> None:
        """Backwards, too: machines' clocks are set."""
        self.clock.at += timedelta(seconds=seconds)

    @rule(
        subject=st.sampled_from(["member", "visitor"]),
        who=st.sampled_from(MEMBERS),
        seconds=st.sampled_from([1, 30, LONGEST, 10 * LONGEST]),
        audience=st.sampled_from(["guesslike", "guesslike", "staging"]),
    )
    def issue(self, subject: str, who: str, seconds: int, audience: str) -> None:
        """By us, or by an installation beside us that has our secrets and its own settings."""
        expires = int(self.clock().timestamp()) + seconds
        claims = Claims(subject, who, expires, audience, self.valid_keys[-1])  # type: ignore[arg-type]
        text = self.doors.sign(claims)
        assert text is not None
        self.issued.append(Issued(text, claims, self.secrets[-1]))

    @rule(data=st.data())
    def attack(self, data: st.DataObject) -> None:
        text = data.draw(attacks(self.issued))
        known = next((one for one in self.issued if one.text == text.strip()), None)
        found = self.admitted(text)
        if known is None or not self.is_good(known):
            assert found is None
        else:
            said = known.claims
            assert found == Caller("token", said.issuer, said.subject, said.id)

    @invariant()
    def true_tokens_open_as_long_as_they_are_good(self) -> None:
        for one in self.issued[-3:]:
            assert (self.admitted(one.text) is not None) == self.is_good(one)

    def is_good(self, one: Issued) -> bool:
        left = one.claims.expires - self.clock().timestamp()
        return (
            one.claims.audience == "guesslike"
            and one.claims.issuer in self.valid_keys
            and one.secret_id in self.secrets
            and 0 < left <= LONGEST + 1
        )

    def admitted(self, text: str) -> Caller | None:
        """Who it opens for, if it does; any other error than a 401 fails the test."""
        header = f"Bearer {text}".encode("utf-8", "replace")
        scope = {
            "type": "http", "method": "GET", "path": "/v1/coupons",
            "headers": [(b"authorization", header)], "client": ("192.0.2.1", 1),
        }  # fmt: skip
        try:
            return self.doors.admit(scope)
        except DeniedError as error:
            if error.status != 401 or (text in error.detail and len(text) > 8):
                raise
            return None


@pytest.mark.parametrize("walks", [15, pytest.param(2_000, marks=pytest.mark.soak)])
def test_only_what_was_issued_opens_and_only_while_it_is_good(
    walks: int, measured: Callable[[str], None]
) -> None:
    tries = 0

    class Counted(Doorway):
        def admitted(self, text: str) -> Caller | None:
            nonlocal tries
            tries += 1
            return super().admitted(text)

    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    of = settings(
        max_examples=walks, stateful_step_count=40, deadline=None, database=None,
        suppress_health_check=slow,
    )  # fmt: skip
    run_state_machine_as_test(Counted, settings=of)
    measured(f"{tries} credentials in {walks} walks, no forgery accepted")
