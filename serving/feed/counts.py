"""What workers tell each other of their callers: small batches, of which the latest are kept.

A batch is of no use after seconds, so no more is promised than that most of them arrive.
"""

import sqlite3

KEPT = 1_000
"""batches; ten workers put so many in 100 seconds"""

# On SQLite.

SCHEMA = """
CREATE TABLE counts (
  seq INTEGER PRIMARY KEY,
  batch BLOB NOT NULL
) STRICT;
"""
_LATEST = "SELECT coalesce(max(seq), 0) FROM counts"
_SINCE = "SELECT batch FROM counts WHERE seq > ? ORDER BY seq"
_PUT = "INSERT INTO counts (batch) VALUES (?) RETURNING seq"
_FORGET = "DELETE FROM counts WHERE seq <= ?"


def exchange(
    batch: bytes | None, after: int | None, connection: sqlite3.Connection
) -> tuple[int, list[bytes]]:
    """In one transaction, or on a connection that only reads where there is no batch."""
    (number,) = connection.execute(_LATEST).fetchone()
    found = [] if after is None else connection.execute(_SINCE, (after,)).fetchall()
    if batch is not None:
        (number,) = connection.execute(_PUT, (batch,)).fetchone()
        connection.execute(_FORGET, (number - KEPT,))
    return number, [put for (put,) in found]


# On Redis: {guesslike:0}:counts is a stream, ID <number>-0: b = batch.

EXCHANGE = """
-- Put a batch, and return those before it. Returns the latest number, then each batch.
-- KEYS[1] counts  ARGV[1] the number after which, or nothing for none of them
-- ARGV[2] the batch, or nothing  ARGV[3] batches kept
local found = {0}
local latest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if latest then found[1] = tonumber(string.match(latest[1], '^%d+')) end
if ARGV[1] ~= '' then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1] .. '-0', '+')) do
    found[#found + 1] = entry[2][2]
  end
end
if ARGV[2] ~= '' then
  found[1] = found[1] + 1
  local id = string.format('%.0f-0', found[1])
  redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], id, 'b', ARGV[2])
end
return found
"""
