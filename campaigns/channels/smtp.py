"""Hands messages to a mail server (RFC 5321), over lines that stay open."""

import re
import smtplib
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Literal

from campaigns.channels.contract import ACCEPTED, Answer, Delivery
from campaigns.channels.deadline import ending
from campaigns.channels.outbox import email
from campaigns.message import Message
from recsys.errors import ChannelError

_UNREACHED = timedelta(seconds=30)
_LATER = timedelta(minutes=1)  # what greylisting asks for at least, and limits usually

# RFC 3463, of the recipient: no such mailbox, host or spelling, moved, no mail there, disabled.
# The rest of 5.1 is about the sender.
_NO_MAILBOX = re.compile(r"5\.1\.([12346]|10)|5\.2\.1")
_NO_MAILBOX_PLAIN = frozenset({550, 551, 553})  # RFC 5321, where RCPT gets no finer code
_OF_MAILBOX = re.compile(rb"4\.[12]\.")  # others need not wait for it
_FINER = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}\b")
_LINE_START_DOT = re.compile(rb"(?m)^\.")

Said = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Server:
    """Where, and how the line is kept from others' eyes."""

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str | None = None
    password: str = field(default="", repr=False)


class Smtp:
    """One mail server. What it queues, repeats or bounces later is beyond what a call can tell."""

    idempotent = False

    def __init__(
        self,
        server: Server,
        *,
        sender: str,
        bounces: str | None = None,
        lanes: int = 8,
        seconds: float = 20,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """bounces: where mail that cannot be delivered goes back to, if not to the sender.

        seconds: the longest that a call lasts. trust: whose certificates; the system's by default.
        """
        self._server, self._sender, self.lanes, self.seconds = server, sender, lanes, seconds
        self._bounces = parseaddr(bounces or sender)[1]
        self._trust = trust or ssl.create_default_context()
        self._idle: deque[smtplib.SMTP] = deque()

    def deliver(self, message: Message, /, *, now: datetime) -> Answer:
        """ChannelError for a login, a certificate or a sender that the server does not take."""
        if not message.to.isascii():
            return Answer(Delivery.REJECTED, "the address is not plain ASCII")
        mail = email(message, sender=self._sender, now=now).as_bytes()
        until = time.monotonic() + self.seconds
        kept = self._kept()
        answer = None if kept is None else self._hand_over(kept, message.to, mail, until)
        if answer is not None:
            return answer
        line = self._connect(until)
        if isinstance(line, Answer):
            return line
        if time.monotonic() >= until:
            line.close()
            return _unreached("the server is too slow")
        return self._hand_over(line, message.to, mail, until) or _unreached("the line was lost")

    def close(self) -> None:
        """Says good-bye on every line and does not wait for an answer."""
        while self._idle:
            line = self._idle.pop()
            with suppress(OSError):
                line.putcmd("quit")
            line.close()

    def _kept(self) -> smtplib.SMTP | None:
        """An open line. It may have gone stale: then nothing is delivered over it."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self, until: float) -> smtplib.SMTP | Answer:
        server = self._server
        try:
            line = self._greeted(max(until - time.monotonic(), 0.001))
            try:
                with ending(line, until - time.monotonic()):
                    _at_once(line)
                    line.ehlo_or_helo_if_needed()
                    if server.tls == "starttls":
                        line.starttls(context=self._trust)
                        line.ehlo_or_helo_if_needed()
                    if server.user is not None:
                        line.login(server.user, server.password)
            except BaseException:
                line.close()
                raise
        except ssl.SSLCertVerificationError as error:
            raise ChannelError(
                f"The certificate of mail server {server.host} does not hold: "
                f"{error.verify_message}. Name the server as its certificate does"
            ) from None
        except smtplib.SMTPNotSupportedError:
            lacks = "a login" if server.tls != "starttls" else "STARTTLS, or a login after it"
            raise ChannelError(
                f"Mail server {server.host}:{server.port} does not offer {lacks}; "
                "smtps:// is for servers that speak TLS from the start"
            ) from None
        except smtplib.SMTPResponseException as error:
            if error.smtp_code >= 500:
                what = "login" if isinstance(error, smtplib.SMTPAuthenticationError) else "line"
                raise ChannelError(
                    f"Mail server {server.host} refuses the {what}: "
                    f"{_code(error.smtp_code, _bytes(error.smtp_error))}; mend url and secret_file"
                ) from None
            return _unreached(f"{error.smtp_code} at the connection")
        except OSError as error:
            return _unreached(f"no connection: {type(error).__name__}")
        return line

    def _greeted(self, seconds: float) -> smtplib.SMTP:
        server, name = self._server, self._bounces.partition("@")[2]
        if server.tls == "implicit":
            return smtplib.SMTP_SSL(
                server.host, server.port, name, timeout=seconds, context=self._trust
            )
        return smtplib.SMTP(server.host, server.port, name, timeout=seconds)

    def _hand_over(
        self, line: smtplib.SMTP, to: str, mail: bytes, until: float
    ) -> Answer | None:  # fmt: skip
        """None: the line was lost before the message ended, so nothing was delivered."""
        with ending(line, until - time.monotonic()):
            try:
                answer = self._announce(line, to)
                if answer is None:
                    line.send(_LINE_START_DOT.sub(b"..", mail))
            except ChannelError:
                line.close()
                raise
            except OSError:
                line.close()
                return None
            if answer is not None:
                self._forget(line)
                return answer
            try:
                line.send(b".\r\n")
                code, said = line.getreply()
            except OSError:
                line.close()
                return Answer(Delivery.UNKNOWN, "the line was lost after the message")
        if 200 <= code < 300:
            self._idle.append(line)
            return ACCEPTED
        line.close()
        if not 400 <= code < 600:
            return Answer(Delivery.UNKNOWN, f"{code} after the message")
        waits = code < 500 and not _OF_MAILBOX.match(said)
        return _refused((code, said), "the message", wait=_LATER if waits else None)

    def _forget(self, line: smtplib.SMTP) -> None:
        """Takes back what was announced, so that the line can be used again."""
        try:
            line.rset()
        except OSError:
            line.close()
        else:
            self._idle.append(line)

    def _announce(self, line: smtplib.SMTP, to: str) -> Answer | None:
        """What speaks against the message before it is sent, or None."""
        said = _meant(line.mail(self._bounces))
        if 500 <= said[0] < 600:
            raise ChannelError(
                f"Mail server {self._server.host} refuses mail from {self._bounces}: "
                f"{_code(*said)}; mend GUESSLIKE_CAMPAIGNS__SENDER, or bounces of this channel"
            )
        if said[0] != 250:
            return _refused(said, "the sender", wait=_LATER)
        said = _meant(line.rcpt(to))
        if said[0] not in (250, 251):
            return _refused(said, "the recipient", plain=_NO_MAILBOX_PLAIN)
        said = _meant(line.docmd("DATA"))
        if said[0] != 354:
            return _refused(said, "DATA", wait=_LATER)
        return None


def _meant(said: Said) -> Said:
    """OSError for a server that ends the line, or that speaks no SMTP."""
    if said[0] == 421 or not 200 <= said[0] < 600:
        raise smtplib.SMTPServerDisconnected("the server ends the line")
    return said


def _refused(
    said: Said, at: str, *, plain: frozenset[int] = frozenset(), wait: timedelta | None = None
) -> Answer:
    """Surely not delivered (RFC 5321, 4.2.5); for good only where it is about the mailbox."""
    code, words = said
    finer = _FINER.match(words)
    no_mailbox = _NO_MAILBOX.fullmatch(finer[0].decode()) if finer else code in plain
    state = Delivery.REJECTED if code >= 500 and no_mailbox else Delivery.REFUSED
    return Answer(state, f"{_code(code, words)} at {at}", wait)


def _code(code: int, words: bytes) -> str:
    """Without the server's words: they may quote an address."""
    finer = _FINER.match(words)
    return f"{code} {finer[0].decode()}" if finer else str(code)


def _bytes(words: bytes | str) -> bytes:
    return words if isinstance(words, bytes) else words.encode(errors="replace")


def _unreached(reason: str) -> Answer:
    return Answer(Delivery.REFUSED, reason, _UNREACHED)


def _at_once(line: smtplib.SMTP) -> None:
    """The message's last dot is a packet of its own, and must not wait for the rest's answer."""
    if line.sock is not None:
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
