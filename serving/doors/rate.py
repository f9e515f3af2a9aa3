"""How often one caller may ask: a bucket for each, that fills at a rate up to a burst."""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable

MOST = 50_000
"""buckets at a time, about 10 MB; then the one that was used least recently is forgotten, full"""


class Buckets:
    """One limit over many callers. Holds for this process alone."""

    def __init__(self, rate: float, burst: int, *, most: int = MOST) -> None:
        self._spacing = 1 / rate
        self._slack = (burst - 1) / rate
        self._most = most
        self._due: OrderedDict[Hashable, float] = OrderedDict()
        """when a caller that asked at the rate and no faster would ask next (GCRA, ATM Forum
        TM 4.0): one number says what a bucket's level and its time would"""

    def take(self, who: Hashable, *, now: float) -> float:
        """Seconds to wait, and nothing is taken; 0 lets one request through. `now` in seconds."""
        due = max(self._due.get(who, now), now)
        wait = due - now - self._slack
        # more than the rounding of sums of seconds: who waits as told must not be refused again
        if wait > 1e-6:
            return wait
        self._due[who] = due + self._spacing
        self._due.move_to_end(who)
        if len(self._due) > self._most:
            self._due.popitem(last=False)
        return 0.0

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
