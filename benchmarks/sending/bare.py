"""What a store gives of itself: the fewest statements that keep one push a week, and nothing else.

A machine's disk and processor make most of a rate; this is the rate to compare one with.
"""

import hashlib
from time import monotonic

from sqlalchemy import text

from campaigns.ledger.store import address_of, engine_at, writing

BATCH = 64
_TABLES = (
    "CREATE TABLE purse (purse TEXT PRIMARY KEY, used BIGINT NOT NULL, cap BIGINT NOT NULL,"
    " CHECK (used <= cap))",
    "CREATE TABLE gate (id INT PRIMARY KEY, hi BIGINT NOT NULL)",
    """CREATE TABLE send (send_id TEXT PRIMARY KEY, person TEXT NOT NULL, contact TEXT NOT NULL,
    state TEXT NOT NULL, at BIGINT NOT NULL, until BIGINT NOT NULL, pseq INT NOT NULL,
    pprev INT GENERATED ALWAYS AS (NULLIF(pseq, 1) - 1) STORED, pprev_until BIGINT,
    cseq INT NOT NULL,
    cprev INT GENERATED ALWAYS AS (NULLIF(cseq, 1) - 1) STORED, cprev_until BIGINT,
    CHECK (pprev_until IS NULL OR at - pprev_until >= 604800000000),
    CHECK (cprev_until IS NULL OR at - cprev_until >= 604800000000),
    UNIQUE (person, pseq), UNIQUE (person, pseq, until),
    UNIQUE (contact, cseq), UNIQUE (contact, cseq, until),
    FOREIGN KEY (person, pprev, pprev_until) REFERENCES send (person, pseq, until),
    FOREIGN KEY (contact, cprev, cprev_until) REFERENCES send (contact, cseq, until))""",
    "INSERT INTO purse VALUES ('budget', 0, 1000000000)",
    "INSERT INTO gate VALUES (1, 0)",
)
_GATE = "UPDATE gate SET hi = :at WHERE id = 1 AND hi <= :at"
_PAY = "UPDATE purse SET used = used + :n WHERE purse = 'budget'"
_CLAIM = """
INSERT INTO send (send_id, person, contact, state, at, until, pseq, pprev_until, cseq, cprev_until)
SELECT :key, :person, :contact, 'attempting', :at, :at + 10000000,
  COALESCE(p.pseq, 0) + 1, p.until, COALESCE(c.cseq, 0) + 1, c.until
FROM (SELECT 1 AS one) one
LEFT JOIN send p ON p.person = :person
  AND p.pseq = (SELECT MAX(pseq) FROM send WHERE person = :person)
LEFT JOIN send c ON c.contact = :contact
  AND c.cseq = (SELECT MAX(cseq) FROM send WHERE contact = :contact)
"""
_SETTLE = "UPDATE send SET state = 'accepted', until = :at WHERE send_id = :key"


def bare_rate(url: str, members: int) -> float:
    """Sends a second, by one process, 64 claims and the 64 settled before in one transaction."""
    engine = engine_at(address_of(url))
    with writing(engine) as connection:
        for statement in _TABLES:
            connection.execute(text(statement))
    rows = sorted((_hash(f"k{at}"), _hash(f"p{at}"), _hash(f"c{at}")) for at in range(members))
    start, settled = monotonic(), list[dict[str, object]]()
    for first in range(0, members + BATCH, BATCH):
        at = first + 1
        claims = [
            {"key": key, "person": person, "contact": contact, "at": at}
            for key, person, contact in rows[first : first + BATCH]
        ]
        with writing(engine) as connection:
            connection.execute(text(_GATE), {"at": at})
            if settled:
                connection.execute(text(_SETTLE), settled)
            if claims:
                connection.execute(text(_PAY), {"n": len(claims)})
                connection.execute(text(_CLAIM), claims)
        settled = [{"key": one["key"], "at": at} for one in claims]
    seconds = monotonic() - start
    engine.dispose()
    return members / seconds


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
