"""A real HTTP server on a port, which answers what a test tells it to."""

import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.campaigns.channels.mail_server import CUT, DRIP, MUTE


class WebServer(socketserver.ThreadingTCPServer):
    """`script`: answers in order, each (status, headers, body), CUT, MUTE or DRIP; then 202."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.script: list[object] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        """path, headers with small names, body"""
        self.lines = 0
        self.over = threading.Event()
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)

    def get_request(self):
        line, address = super().get_request()
        self.lines += 1
        return line, address

    def finish_request(self, request, client_address):
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            request.close()

    def handle_error(self, request, client_address):
        """A line that the client cut is no news."""

    @property
    def url(self) -> str:
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/send?shop=1"


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        answer = self.server.script.pop(0) if self.server.script else (202, {}, b"")
        if answer in (CUT, MUTE, DRIP):
            self.close_connection = True
            if answer == MUTE:
                self.server.over.wait(30)
            if answer == DRIP:
                self.wfile.write(b"HTTP/1.1 ")
                while not self.server.over.wait(0.05):
                    self.wfile.write(b"x")
            return
        status, more, said = answer
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Quiet."""
