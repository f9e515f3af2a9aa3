"""The door before the app: who asks, whether they may, and how often."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from starlette.types import Scope

from recsys.errors import SettingsError
from serving.doors import keys, tokens
from serving.doors.access import Caller, DeniedError
from serving.doors.rate import Buckets, is_loopback, neighbourhood, sign
from serving.doors.rules import rule_of
from serving.doors.settings import DoorSettings
from serving.doors.tokens import Claims, InvalidTokenError, Secret
from serving.doors.watch import Held, Watch

_OPEN = Caller("open")
_NOBODY = Caller("nobody")
_MEND = (
    "send Authorization: Bearer and a server key (guesslike keys add --kind server), or from a "
    "browser a member token (POST /v1/tokens) or a publishable key"
)


class Doors:
    """Keys, tokens and limits of one process.

    Nothing that was verified is remembered: a token costs about 13 µs and a key 5 each time, and a
    memory of them would have to forget at every revocation.
    """

    def __init__(
        self,
        folder: Path | None,
        settings: DoorSettings,
        now: Callable[[], datetime],
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a folder there are no keys, and the doors are open."""
        self.settings = settings
        self._folder = folder
        self._now = now
        self.tick = tick
        """limits go by a clock that nobody sets"""
        self._watch = None if folder is None else Watch(folder)
        self._server = Buckets(settings.server_rate, settings.server_burst)
        self._tokens = Buckets(settings.token_rate, settings.token_burst)
        self._public = Buckets(settings.public_rate, settings.public_burst)
        self.limits = (self._server, self._tokens, self._public)
        """in the order in which workers tell each other of them"""

    @property
    def are_open(self) -> bool:
        """No key was ever made."""
        held = self._held()
        return held is None or held.is_open

    def sign(self, claims: Claims) -> str | None:
        """A token that says this; None where no secret can be kept."""
        if self._folder is None:
            return None
        return tokens.sign(claims, self._signing(self._folder))

    def admit(self, scope: Scope) -> Caller:
        """Who asks; raises what they are told instead of an answer."""
        if "\n" in scope["path"]:  # where the router's expressions end early: x would open for x\n
            raise DeniedError("an address holds no line break", 404)
        rule, member = rule_of(scope["method"], scope["path"])
        if not rule.is_counted:
            return _NOBODY
        host = scope["client"][0] if scope.get("client") else ""
        try:
            caller = self._caller(_credential(scope), rule.admits)
        except DeniedError as error:
            if rule.on_this_machine and is_loopback(host):
                return _NOBODY
            self._count(_NOBODY, host)
            raise error from None
        self._count(caller, host)
        if caller.kind not in rule.admits and not (rule.on_this_machine and is_loopback(host)):
            raise DeniedError(_too_little(caller))
        if caller.kind == "token" and member is not None and caller != _own(caller, member):
            raise DeniedError("this token is for another: ask with that member's own token")
        return caller

    def _caller(self, text: str | None, admits: frozenset[str]) -> Caller:
        held = self._held()
        if text is None:
            if held is None or held.is_open:
                return _OPEN
            if "nobody" in admits:
                return _NOBODY
            raise _unauthorised(f"this needs a key: {_MEND}")
        if held is None:
            return _OPEN
        if text.startswith(tokens.VERSION):
            return self._of_token(text, held)
        key = keys.find(text, held.keys)
        if key is None:
            held = self._held_at_once()
            key = keys.find(text, held.keys)
        if key is None:
            if held.is_open:
                return _OPEN  # a proxy's own header, before the first key
            raise _unauthorised(f"this key is unknown or revoked: {_MEND}", wrong=True)
        return Caller(key.kind, key.id)

    def _of_token(self, text: str, held: Held) -> Caller:
        now = self._now().timestamp()
        try:
            try:
                claims = self._verify(text, held, now)
            except InvalidTokenError:  # perhaps a worker beside us signed it with a new secret
                if (fresh := self._held_at_once()) is held:
                    raise
                claims = self._verify(text, fresh, now)
        except InvalidTokenError as error:
            mend = "ask your server for a new one (POST /v1/tokens)"
            raise _unauthorised(f"{error}: {mend}", wrong=True) from None
        return Caller("token", claims.issuer, claims.subject, claims.id)

    def _verify(self, text: str, held: Held, now: float) -> Claims:
        of = self.settings
        claims = tokens.verify(
            text, held.secrets, audience=of.token_audience, now=now, longest=of.token_seconds
        )
        # with the key that asked for it a token ends too: whoever stole one made such tokens
        if claims.issuer not in held.keys and not (held.is_open and not claims.issuer):
            raise InvalidTokenError("the key that this token was made with is revoked")
        return claims

    def _count(self, caller: Caller, host: str) -> None:
        if caller.kind == "server":
            wait = self._server.take(sign(caller.key_id), now=self.tick())
        elif caller.kind == "open":
            wait = self._server.take(sign(neighbourhood(host)), now=self.tick())
        elif caller.kind == "token":
            wait = self._tokens.take(sign(caller.subject or "", caller.id), now=self.tick())
        else:  # everybody has a publishable key: one that floods must not stop the others
            wait = self._public.take(sign(caller.key_id, neighbourhood(host)), now=self.tick())
        if wait:
            seconds = str(int(wait) + 1).encode()  # whole seconds, never too few: RFC 9110
            detail = "too many requests: wait as Retry-After says"
            raise DeniedError(detail, 429, (b"retry-after", seconds))

    def _held(self) -> Held | None:
        return None if self._watch is None else self._watch.held(self.tick())

    def _held_at_once(self) -> Held:
        assert self._watch is not None
        return self._watch.held(self.tick(), at_once=True)

    def _signing(self, folder: Path) -> Secret:
        held = self._held_at_once()
        if held.signing is None:
            tokens.renew(folder, now=self._now(), only_first=True)
            held = self._held_at_once()
        assert held.signing is not None
        return held.signing


def check_address(host: str, folder: Path | None) -> None:
    """SettingsError where others could reach a service that is open."""
    if is_loopback(host) or (folder is not None and keys.read(folder)):
        return
    first = "make a key first (guesslike keys add --kind server), or " if folder else ""
    raise SettingsError(
        f"{host} can be reached from other machines and the doors are open: "
        f"{first}leave GUESSLIKE_SERVING__HOST at 127.0.0.1"
    )


def _credential(scope: Scope) -> str | None:
    found: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        return None
    scheme, _, text = found[0].decode("latin-1").partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer":
        return ""
    return text.strip()


def _own(caller: Caller, member: str) -> Caller:
    return Caller("token", caller.key_id, "member", member)


def _too_little(caller: Caller) -> str:
    if caller.kind == "token":
        return "a member token does not open this: ask from your server, with a server key"
    return (
        "a publishable key opens nothing personal: ask with a member token, which your server "
        "gets from POST /v1/tokens, or with a server key"
    )


def _unauthorised(detail: str, *, wrong: bool = False) -> DeniedError:
    challenge = b'Bearer realm="guesslike"'
    if wrong:  # RFC 6750: only where something was given
        challenge += b', error="invalid_token"'
    return DeniedError(detail, 401, (b"www-authenticate", challenge))
