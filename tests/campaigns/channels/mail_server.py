"""A real mail server on a port, which may answer what it likes and cut the line at any step."""

import socket
import socketserver
import ssl
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CUT = "cut"
"""hang up without an answer"""
MUTE = "mute"
"""never answer"""
DRIP = "drip"
"""answer one letter at a time, for ever"""


class MailServer(socketserver.ThreadingTCPServer):
    """`script`: step → answers in order, each one a line of SMTP, CUT, MUTE or DRIP.

    Steps: greet ehlo starttls auth mail rcpt data message rset quit. What is not scripted succeeds.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, certificate: Path | None = None, *, implicit: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.script: dict[str, list[str]] = {}
        self.said: list[str] = []
        self.mails: list[tuple[str, str, bytes]] = []
        """envelope sender, recipient, content"""
        self.lines = 0
        self.logins: list[tuple[str, str]] = []
        self.offers_tls = certificate is not None and not implicit
        self.over = threading.Event()
        self.context: ssl.SSLContext | None = None
        self.implicit = implicit
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def next(self, step: str, otherwise: str) -> str:
        answers = self.script.get(step)
        return answers.pop(0) if answers else otherwise

    def handle_error(self, request: object, client_address: object) -> None:
        """A line that the client cut is no news."""


class _Session(socketserver.BaseRequestHandler):
    server: MailServer

    def handle(self) -> None:
        server, self.secure = self.server, False
        server.lines += 1
        if server.implicit:
            self._wrap()
        self.file = self.request.makefile("rb")
        if not self._say("greet", "220 mail.test ESMTP"):
            return
        while line := self.file.readline().decode("latin-1"):
            word, _, rest = line.strip().partition(" ")
            word = word.lower()
            server.said.append(word)
            if word == "quit":
                self._say("quit", "221 bye")
                return
            if not self._step(word, rest):
                return

    def finish(self) -> None:
        for one in (getattr(self, "file", None), self.request):
            if one is not None:
                one.close()

    def _step(self, word: str, rest: str) -> bool:
        own = getattr(self, f"_on_{word}", None)
        return own(rest) if own is not None else self._say(word, "250 ok")

    def _on_ehlo(self, _: str) -> bool:
        offers = ["mail.test", "AUTH PLAIN"]
        if self.server.offers_tls and not self.secure:
            offers.append("STARTTLS")
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        return self._say("ehlo", "\r\n".join(lines))

    def _on_starttls(self, _: str) -> bool:
        if not self._say("starttls", "220 go ahead"):
            return False
        self._wrap()
        self.file = self.request.makefile("rb")
        return True

    def _on_auth(self, rest: str) -> bool:
        _, user, password = b64decode(rest.split(" ")[1]).decode().split("\0")
        self.server.logins.append((user, password))
        return self._say("auth", "235 welcome")

    def _on_mail(self, rest: str) -> bool:
        self.sender = rest.partition(":")[2].split(" ")[0].strip("<>")
        return self._say("mail", "250 ok")

    def _on_rcpt(self, rest: str) -> bool:
        self.to = rest.partition(":")[2].strip("<>")
        return self._say("rcpt", "250 ok")

    def _on_data(self, _: str) -> bool:
        answer = self.server.next("data", "354 go on")
        return self._answer(answer) and (not answer.startswith("354") or self._message())

    def _message(self) -> bool:
        step = self.server.next("body", "")
        if step == CUT:
            return False
        content = b""
        while (line := self.file.readline()) != b".\r\n":
            if not line:
                return False
            content += line[1:] if line.startswith(b".") else line
        answer = self.server.next("message", "250 2.0.0 queued")
        if answer.startswith("250") or answer in (CUT, MUTE, DRIP):
            self.server.mails.append((self.sender, self.to, content))
        return self._answer(answer)

    def _say(self, step: str, otherwise: str) -> bool:
        return self._answer(self.server.next(step, otherwise))

    def _answer(self, answer: str) -> bool:
        if answer == CUT:
            return False
        if answer == MUTE:
            self.server.over.wait(30)
            return False
        if answer == DRIP:
            self.request.sendall(b"250-")
            while not self.server.over.wait(0.05):
                self.request.sendall(b"x")
        self.request.sendall(answer.encode() + b"\r\n")
        return not answer.startswith("421")

    def _wrap(self) -> None:
        assert self.server.context is not None
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.secure = True


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        over = getattr(server, "over", None)
        if over is not None:
            over.set()
        server.server_close()
        thread.join()


def make_certificate(folder: Path, name: str = "127.0.0.1") -> Path:
    """Key and self-signed certificate of a server at this address, in one file."""
    key, file = folder / "key.pem", folder / "certificate.pem"
    kind = "IP" if name[0].isdigit() else "DNS"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", key, "-out", file, "-days", "2", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={kind}:{name}",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + file.read_bytes())
    return both


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def took(began: float) -> float:
    return time.monotonic() - began
