"""How often one caller may ask: a bucket for each, that fills at a rate up to a burst."""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Mapping
from functools import lru_cache

from recsys.ids import stable_hash

MOST = 50_000
"""buckets at a time, about 15 MB; then the one that was used least recently is forgotten, full"""
MOST_TOLD = 5_000
"""callers that one worker tells the others of at a time: those that took most, some 60 kB"""


@lru_cache(MOST)
def sign(*parts: str) -> int:
    """What stands for a caller: the same in every worker, and no id or address in itself."""
    return stable_hash("\0".join(parts))


class Buckets:
    """One limit over many callers, each known by its sign. Counts for this process; what other
    workers let through is told to it."""

    def __init__(self, rate: float, burst: int, *, most: int = MOST) -> None:
        self._spacing = 1 / rate
        self._slack = (burst - 1) / rate
        self._most = most
        self._taken: dict[int, int] = {}
        self._due: OrderedDict[int, float] = OrderedDict()
        """when a caller that asked at the rate and no faster would ask next (GCRA, ATM Forum
        TM 4.0): one number says what a bucket's level and its time would"""

    def take(self, who: int, *, now: float) -> float:
        """Seconds to wait, and nothing is taken; 0 lets one request through. `now` in seconds."""
        due = max(self._due.get(who, now), now)
        wait = due - now - self._slack
        # more than the rounding of sums of seconds: who waits as told must not be refused again
        if wait > 1e-6:
            return wait
        self._taken[who] = self._taken.get(who, 0) + 1
        self._keep(who, due + self._spacing)
        return 0.0

    def told(self) -> Mapping[int, int]:
        """Requests let through here since this was last asked, by caller: for the other workers."""
        taken, self._taken = self._taken, {}
        return taken if len(taken) <= MOST_TOLD else dict(Counter(taken).most_common(MOST_TOLD))

    def hear(self, taken: Mapping[int, int], *, since: float, now: float) -> None:
        """Take up what another worker let through from `since` on."""
        for who, count in taken.items():
            due = max(self._due.get(who, since), since) + count * self._spacing
            if due > now:
                self._keep(who, due)

    def _keep(self, who: int, due: float) -> None:
        self._due[who] = due
        self._due.move_to_end(who)
        if len(self._due) > self._most:
            self._due.popitem(last=False)

    def __len__(self) -> int:
        return len(self._due)


def neighbourhood(host: str) -> str:
    """What stands for one client: an IPv4 address, or the /64 that one IPv6 line has whole."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def is_loopback(host: str) -> bool:
    """Only this machine reaches it, or is it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
