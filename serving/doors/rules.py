"""Who is let in to which route: one table, closed for what it does not name."""

import re
from dataclasses import dataclass
from typing import Literal

from starlette.routing import compile_path

Kind = Literal["open", "server", "token", "publishable", "nobody"]
"""`open`: anybody, while no key was ever made. `nobody`: without a key, where that is enough"""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who is let in to a route."""

    admits: frozenset[Kind]
    on_this_machine: bool = False
    """who asks from a loopback address needs no key"""
    is_counted: bool = True
    """under the rate limits"""


SHOP: frozenset[Kind] = frozenset({"open", "server"})
_PERSONAL: frozenset[Kind] = SHOP | {"token"}
_ANY_KEY: frozenset[Kind] = _PERSONAL | {"publishable"}
_ANYBODY: frozenset[Kind] = _ANY_KEY | {"nobody"}

_PROBE = Rule(_ANYBODY, is_counted=False)  # a probe that is refused restarts a sound process
_PAGE = Rule(_ANYBODY)

# Every route of the process. What is missing here is for server keys alone, and fails a test.
RULES: dict[str, Rule] = {
    "GET /v1/recommendations": Rule(_ANY_KEY),
    "POST /v1/recommendations": Rule(_ANY_KEY),
    "POST /v1/events": Rule(_ANY_KEY),
    "GET /v1/coupons": Rule(_PERSONAL),
    "GET /v1/members/{member_id:path}/preferences": Rule(_PERSONAL),
    "PUT /v1/members/{member_id:path}/preferences": Rule(_PERSONAL),
    # a browser could attach itself to somebody else's session, or take theirs
    "POST /v1/visitors/{visitor_id:path}/identify": Rule(SHOP),
    "DELETE /v1/members/{member_id:path}": Rule(SHOP),
    "POST /v1/redemptions": Rule(SHOP),
    "DELETE /v1/redemptions/{order_id:path}": Rule(SHOP),
    "POST /v1/pushes": Rule(SHOP),
    "DELETE /v1/pushes/{push_id:path}": Rule(SHOP),
    # providers have no key of ours: what they send is signed
    "POST /v1/feedback/{provider}": _PAGE,
    "POST /v1/tokens": Rule(SHOP),
    "PATCH /v1/products": Rule(SHOP),
    "GET /metrics": Rule(SHOP, on_this_machine=True),
    "GET /livez": _PROBE,
    "GET /readyz": _PROBE,
    "GET /u/{token}": _PAGE,
    "POST /u/{token}": _PAGE,
    "GET /c/{token}": _PAGE,
    "POST /c/{token}": _PAGE,
    "GET /docs": _PAGE,
    "GET /docs/oauth2-redirect": _PAGE,
    "GET /redoc": _PAGE,
    "GET /openapi.json": _PAGE,
    # the demo shop, which only the demo opens
    "GET /": _PAGE,
    "GET /shop/members": _PAGE,
    "GET /shop/products": _PAGE,
    "GET /shop/{name:path}": _PAGE,
}
_UNLISTED = Rule(SHOP)
_PLAIN = {name: rule for name, rule in RULES.items() if "{" not in name}
_PATTERNS: list[tuple[str, re.Pattern[str], Rule]] = [
    (name.partition(" ")[0], compile_path(name.partition(" ")[2])[0], rule)
    for name, rule in RULES.items()
    if "{" in name
]
"""with the router's own expressions, so that the two never read a path differently"""


def rule_of(method: str, path: str) -> tuple[Rule, str | None]:
    """The rule of a request, and the member that its path names."""
    method = "GET" if method == "HEAD" else method
    if rule := _PLAIN.get(f"{method} {path}"):
        return rule, None
    for wanted, pattern, rule in _PATTERNS:
        if wanted == method and (found := pattern.match(path)):
            return rule, found.groupdict().get("member_id")
    return _UNLISTED, None
