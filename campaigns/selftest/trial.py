"""One self-test: cycles of plans, rounds of senders that are killed, and what the provider says."""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from campaigns.plan import row_keys
from campaigns.selftest.clock import SharedClock
from campaigns.selftest.counting import breaches, count_all, open_rows, read_taken
from campaigns.selftest.kills import Kills
from campaigns.selftest.making import make_plans
from campaigns.selftest.senders import Life, Order
from campaigns.selftest.world import CALL_SECONDS, CLOCK, World, make_world
from recsys.errors import CampaignError, LedgerError

SENDERS = 4
MEMBERS = 200
_LIVES = 3
"""of each sender's place in a round"""
_SOON = timedelta(seconds=2 * CALL_SECONDS)
_LONG = timedelta(days=3, hours=12)
_MOST_ROUNDS = 200
_QUIET_SECONDS = 60


@dataclass(slots=True)
class Result:
    """What a self-test did and found."""

    database: str
    idempotent: bool
    seed: int
    seconds: float = 0.0
    cycles: int = 0
    """of three campaigns over all members"""
    last_step: int = 0
    """that a sender comes to when they share the work and none is killed"""
    kills_at_steps: int = 0
    kills_at_instants: int = 0
    unreached: int = 0
    """steps that no sender came to any more"""
    complete: bool = False
    """every kill that was wanted was made in the time"""
    calls: int = 0
    taken: int = 0
    """messages that the provider took, repeats of a key left out where it promises that"""
    repeats: int = 0
    """calls with a key that it had taken"""
    faults: dict[str, int] = field(default_factory=dict)
    stranded_most: int = 0
    """calls that a kill left open, by the sender killed in the round that left most"""
    stopped: dict[str, int] = field(default_factory=dict)
    """runs that ended early with a message, such as for a slow disk, and were started again"""
    outcomes: dict[str, int] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Provider:
    port: int

    def state(self) -> dict[str, Any]:
        line = HTTPConnection("127.0.0.1", self.port, timeout=_QUIET_SECONDS)
        try:
            line.request("GET", "/")
            found: dict[str, Any] = json.loads(line.getresponse().read())
            return found
        finally:
            line.close()

    def quiet(self) -> dict[str, Any]:
        """Waits until it has answered every call, and told all that it had to tell."""
        until = time.monotonic() + _QUIET_SECONDS
        while (state := self.state())["lines"] or state["untold"]:
            if time.monotonic() > until:
                raise LedgerError(
                    f"The feedback route does not take what the provider tells: {state}. Is the "
                    "database there? Run the self-test again"
                )
            time.sleep(0.01)
        return state


class Trial:
    """Over a scratch folder and ledger."""

    def __init__(
        self, folder: Path, ledger_url: str, *, idempotent: bool, seed: int, kills: Kills,
        tell: Callable[[Result], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """tell: is told how far it is after each round."""
        self.folder, self.ledger_url, self.kills, self.tell = folder, ledger_url, kills, tell
        self.members: dict[str, str] = {}
        self.idempotent, self.seed, self._flying = idempotent, seed, 0
        self.result = Result(ledger_url.partition(":")[0].partition("+")[0], idempotent, seed)

    def run(self, until: Callable[[], bool]) -> Result:
        """Cycles until every kill was made, or `until` says that time is up; then counts."""
        began, result = time.monotonic(), self.result
        with ExitStack() as stack:
            world, sockets = self._world(stack)
            self.shop = make_world(self.folder, world)
            self.clock = SharedClock(self.folder / CLOCK)
            for name, listening in sockets.items():
                stack.enter_context(_process(name, str(listening.fileno()), self.folder,
                                             listening=listening))  # fmt: skip
            self.provider = _Provider(world.provider_port)
            self.senders = stack.enter_context(_process("senders", self.folder))
            while not (result.breaches or self.kills.over or (result.cycles and until())):
                self._cycle(until)
                result.cycles += 1
            self._count(self.provider.quiet())
        result.seconds = time.monotonic() - began
        return result

    def _world(self, stack: ExitStack) -> tuple[World, dict[str, socket.socket]]:
        """Sockets that listen before their processes are there, so that nobody comes too early."""
        sockets = {}
        for name in ("provider", "receiver"):
            sockets[name] = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        ports = {name: one.getsockname()[1] for name, one in sockets.items()}
        world = World(
            self.ledger_url, self.seed, self.idempotent, ports["provider"], ports["receiver"],
            MEMBERS,
        )  # fmt: skip
        return world, sockets

    def _cycle(self, until: Callable[[], bool]) -> None:
        """Plans that want everyone, until each of their rows has its outcome."""
        with self.shop.open_ledger() as ledger:
            for plan in make_plans(self.shop, ledger, cycle=self.result.cycles, members=MEMBERS):
                keys = row_keys(plan, ledger)
                self.members |= zip(keys, plan.rows["member_id"].to_list(), strict=True)
            before = sum(open_rows(ledger))
        left = before
        for number in range(_MOST_ROUNDS):
            if not left or self.result.breaches:
                return
            first = self.result.cycles == number == 0
            lives = self._round(fresh=number == 0, quiet=first or until())
            if first:
                self.kills.learn(lives)
            left, before = self._after(lives), left
            self.tell(self.result)
            # Who waits for a slot gets one, or sees the window end.
            self.clock.move_on(_SOON if left < before else _LONG)
        self.result.breaches.append(f"{left} rows had no outcome after {_MOST_ROUNDS} rounds")

    def _round(self, *, fresh: bool, quiet: bool) -> list[Life]:
        lives = 1 if quiet else _LIVES
        places = [
            [
                Order() if quiet else self.kills.order(fresh=fresh and place == turn == 0)
                for turn in range(lives)
            ]
            for place in range(SENDERS)
        ]
        assert self.senders.stdin is not None
        assert self.senders.stdout is not None
        self.senders.stdin.write(json.dumps([[asdict(o) for o in one] for one in places]) + "\n")
        self.senders.stdin.flush()
        line = self.senders.stdout.readline()
        if not line:
            raise CampaignError(
                "The self-test's senders were ended from outside, so it says nothing; run it again"
            )
        return [Life(Order(**one.pop("order")), **one) for one in json.loads(line)]

    def _after(self, lives: list[Life]) -> int:
        """Counts a round; the rows that are still without an outcome."""
        result = self.result
        self.provider.quiet()
        killed = sum(life.killed for life in lives)
        for life in lives:
            self.kills.ended(life)
            if life.defect:
                result.breaches.append(f"a sender broke: {life.defect}")
            if life.error:
                result.stopped[life.error] = result.stopped.get(life.error, 0) + 1
        with self.shop.open_ledger() as ledger:
            unended, flying = open_rows(ledger)
        most = self.shop.settings.in_flight
        # Calls of an earlier round may still be open beside those of this one.
        new = max(0, flying - self._flying)
        self._flying = flying
        if new > most * killed:
            result.breaches.append(f"{killed} kills left {new} calls open, more than {most} each")
        if killed:
            result.stranded_most = max(result.stranded_most, -(-new // killed))
        result.last_step, result.unreached = self.kills.last_step, self.kills.unreached
        result.kills_at_steps = self.kills.at_steps
        result.kills_at_instants = self.kills.at_instants
        result.complete = self.kills.over
        return unended + flying

    def _count(self, state: dict[str, Any]) -> None:
        result, taken = self.result, read_taken(self.folder)
        result.calls, result.taken = state["calls"], len(taken)
        result.repeats = state["taken"] - len(Counter(one.key for one in taken))
        result.faults = state["faults"]
        with self.shop.open_ledger() as ledger:
            result.outcomes = dict(count_all(ledger))
            result.breaches += breaches(ledger, taken, self.members)


@contextmanager
def _process(
    name: str, *words: str | Path, listening: socket.socket | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A module of this package in a process of its own, which ends with the block."""
    numbers = () if listening is None else (listening.fileno(),)
    command = [sys.executable, "-m", f"campaigns.selftest.{name}", *map(str, words)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, pass_fds=numbers) as process:
        if listening is not None:
            listening.close()  # else calls to one that died would wait for ever
        try:
            yield process
        finally:
            process.kill()
