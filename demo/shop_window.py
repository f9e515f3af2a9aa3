"""The demo's last step: the service, and the shop page beside it, on a local address."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime

import uvicorn
from rich.console import Console

from campaigns.plan import Plan
from demo import words
from recsys.ids import stable_hash
from serving.cli import Composition
from serving.doors.door import check_address
from serving.shop import Shopper, mount

SHOWN = {
    "push": (20, "sent a coupon today"),
    "held_out": (5, "held out, to measure"),
    "no_consent": (5, "has not consented"),
    "campaign_limit": (5, "beyond the number of sends"),
}
"""how many of each decision can be picked, and what the page says of them"""


def open_shop(
    at: Composition, plan: Plan, console: Console, *, now: Callable[[], datetime]
) -> None:
    """Serve until stopped."""
    shoppers = list(choose_shoppers(plan))
    check_address(at.settings.host, None)
    # a made-up shop's members are no secret, and its page has no server that could ask for tokens
    app = at.app(now, simulated=True, has_doors=False)
    mount(app, now=now, shoppers=shoppers, currency="USD")
    with closing(_listen(at.settings.host, at.settings.port)) as listener:
        host, port = listener.getsockname()[:2]
        words.opened(console, f"http://{host}:{port}/", shoppers=len(shoppers))
        config = uvicorn.Config(app, access_log=False, log_config=None, http="httptools")
        with suppress(KeyboardInterrupt):  # the way out that the screen names
            uvicorn.Server(config).run(sockets=[listener])


def choose_shoppers(plan: Plan) -> Iterator[Shopper]:
    """A few members of each decision, by hash, so that every run shows the same ones."""
    for decision, (most, note) in SHOWN.items():
        rows = [row for row in plan.rows.iter_rows(named=True) if row["decision"] == decision]
        rows.sort(key=lambda row: stable_hash(row["member_id"]))
        for row in rows[:most]:
            sent = row["coupon_id"] if decision == "push" else None
            yield Shopper(row["member_id"], note, sent)


def _listen(host: str, port: int) -> socket.socket:
    """The configured port, or a free one where another program has it."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return socket.create_server((host, 0))
