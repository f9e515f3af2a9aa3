"""The feed on Redis 6.2 or later: one log a shard, and every step of a shard one script."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from recsys.errors import FeedError
from serving.feed import body, counts, news, scripts
from serving.feed.contract import (
    ERASE,
    KEPT_RECENT,
    REMEMBERED_US,
    Appended,
    Event,
    Range,
    Recent,
    shard_of,
    subject,
)
from serving.feed.impressions import Impression, Notice, decode_shown
from serving.feed.marks import erasure, identification
from serving.feed.news import ProductChange, ProductNews
from serving.feed.redis_impressions import RedisImpressions
from serving.feed.redis_keys import MARK, errors, key_of, listed, subject_key
from serving.feed.redis_marks import RedisMarks

LAYOUT = "2"
"""Version of the keys and scripts. Of the one before, 2 differs by its marks alone."""
OLDER_LAYOUT = "1"
LAYOUT_KEY = "guesslike:feed"

OLDEST_REDIS = (6, 2)
"""The first with XTRIM MINID."""

CONNECTIONS = 64
"""One worker's; a request that finds none free waits, at most TIMEOUT_SECONDS."""
TIMEOUT_SECONDS = 2.0
TRIM_EVENTS = 500
"""Events in one step of a trim: Redis does nothing else for about a millisecond."""

_SAFE = {
    "appendonly": ("yes", "events are lost when Redis stops"),
    "appendfsync": ("always", "the latest events are lost when its machine stops"),
    "no-appendfsync-on-rewrite": ("no", "events are not flushed while the log is rewritten"),
    "maxmemory-policy": ("noeviction", "events are dropped when its memory is full"),
}


class RedisFeed:
    """A connection pool to one Redis, and the scripts of `scripts.py`."""

    def __init__(self, client: Redis, *, where: str, shards: int, warnings: tuple[str, ...]):
        self.shards = shards
        self.warnings = warnings
        self._client = client
        self._where = where
        self._append = client.register_script(scripts.APPEND)
        self._fix = client.register_script(scripts.FIX)
        self._confirm = client.register_script(scripts.CONFIRM)
        self._trim = client.register_script(scripts.TRIM)
        self._tell = client.register_script(scripts.TELL)
        self._told = client.register_script(scripts.TOLD)
        self._marks = RedisMarks(client, where=where, shards=shards)
        self._impressions = RedisImpressions(client, where=where, shards=shards)
        self._exchange = client.register_script(counts.EXCHANGE)

    async def append(self, events: Sequence[Event], *, now: int) -> Appended:
        """See Feed. After a lost connection it is sent once more: then new ones may count as
        duplicates."""
        batches: dict[int, list[Event]] = {}
        for event in events:
            shard = shard_of(subject(event) or event.event_id, self.shards)
            batches.setdefault(shard, []).append(event)
        with errors(self._where):
            counts = await asyncio.gather(
                *(self._append_in(shard, batch, now=now) for shard, batch in batches.items())
            )
        return Appended(new=sum(counts), duplicates=len(events) - sum(counts))

    async def _append_in(self, shard: int, events: list[Event], *, now: int) -> int:
        keys = [key_of(shard, "log"), key_of(shard, "seen"), key_of(shard, "mark")]
        places: dict[str, int] = {}
        values: list[str | bytes | int] = [now, KEPT_RECENT]
        for event in events:
            whose = subject(event)
            if whose is not None and whose not in places:
                keys.append(subject_key(shard, whose))
                places[whose] = len(keys)
            place = 0 if whose is None else places[whose]
            values += (event.event_id, body.encode(event), place)
        return int(await self._append(keys=keys, args=values))

    async def recent(
        self, subject: str, *, after: Mapping[int, int], limit: int, shown: bool = False
    ) -> Recent:
        """See Feed."""
        shard = shard_of(subject, self.shards)
        if (limit := min(limit, KEPT_RECENT)) < 1:
            return Recent([])
        first, packed_shown = -limit - 1, None  # one more than wanted: the last may be a mark
        with errors(self._where):
            if shown:
                found, packed_shown = await self._impressions.recent(shard, subject, first)
            else:
                found = await listed(self._client.lrange(subject_key(shard, subject), first, -1))
        mark = found.pop()[1:] if found and found[-1].startswith(MARK) else None
        beyond = after.get(shard, 0)
        numbered = (element.partition(b" ") for element in found[-limit:])
        own = [body.decode_recent(packed) for seq, _, packed in numbered if int(seq) > beyond]
        seen = {} if packed_shown is None else decode_shown(packed_shown)
        if mark is None or not subject.startswith("m:"):
            return Recent(own, shown=seen)
        marked = await self._marks.recent(subject, mark, own, after=after, limit=limit)
        return replace(marked, shown=seen)

    async def last_sequences(self) -> dict[int, int]:
        """See Feed."""
        pipe = self._client.pipeline(transaction=False)
        for shard in range(self.shards):
            pipe.hget(key_of(shard, "mark"), "last")
        with errors(self._where):
            return {shard: int(last or 0) for shard, last in enumerate(await pipe.execute())}

    async def read(self, shard: int, start: int, stop: int) -> list[tuple[int, Event]]:
        """See Feed."""
        return [(seq, body.decode(packed)) for seq, packed in await self._log(shard, start, stop)]

    async def fix_range(self, shard: int, *, limit: int) -> Range | None:
        """See Feed."""
        with errors(self._where):
            fixed = await self._fix(keys=[key_of(shard, "mark")], args=[limit])
        return None if fixed is None else Range(shard, fixed[0] + 1, fixed[1])

    async def confirm(self, fixed: Range) -> None:
        """See Feed."""
        with errors(self._where):
            drained = await self._confirm(
                keys=[key_of(fixed.shard, "mark")], args=[fixed.start - 1, fixed.stop]
            )
        if drained < fixed.stop:
            raise ValueError(f"{fixed} was not fixed")

    async def trim(self, shard: int, up_to: int, *, now: int) -> None:
        """See Feed. What was shown to idle subjects goes by itself, by Redis' own clock."""
        with errors(self._where):
            mark = await listed(self._client.hmget(key_of(shard, "mark"), ["drained", "trimmed"]))
        drained, trimmed = (int(number or 0) for number in mark)
        if up_to > drained:
            raise FeedError(f"the feed is drained up to event {drained}, not {up_to}: drain first")
        while True:
            stop = min(up_to, trimmed + TRIM_EVENTS)
            events = [body.decode(packed) for _, packed in await self._log(shard, 1, stop)]
            whose = {subject(event) for event in events} - {None}
            erased = {event.member_id for event in events if event.kind == ERASE} - {None}
            await self._marks.trim(shard, stop, (one for one in erased if one is not None))
            keys = [key_of(shard, "log"), key_of(shard, "seen"), key_of(shard, "mark")]
            keys += (subject_key(shard, one) for one in whose if one is not None)
            with errors(self._where):
                await self._trim(keys=keys, args=[stop, now - REMEMBERED_US])
            if stop == up_to:
                return
            trimmed = stop

    async def tell(self, changes: Sequence[ProductChange]) -> None:
        """See Feed. After a lost connection it is sent once more, which changes nothing."""
        values: list[str | bytes] = []
        for change in changes:
            values += (change.product_id, news.changed(None, change.facts))
        if values:
            with errors(self._where):
                await self._tell(keys=_NEWS, args=values)

    async def told(self, *, after: int) -> tuple[int, list[ProductNews]]:
        """See Feed."""
        with errors(self._where):
            last, *rows = await self._told(keys=_NEWS, args=[after])
        pairs = zip(rows[::2], rows[1::2], strict=True)
        return int(last), [news.read(one.decode(), facts) for one, facts in pairs]

    async def identify(self, visitor_id: str, member_id: str, *, event_id: str, now: int) -> bool:
        """See Feed."""
        login = identification(visitor_id, member_id, event_id=event_id, at=now)
        return await self._marks.identify(login)

    async def erase(self, member_id: str, *, event_id: str, until: int, now: int) -> None:
        """See Feed."""
        await self._marks.erase(erasure(member_id, event_id=event_id, until=until), now=now)
        await self._impressions.erase(member_id)

    async def erased(self) -> dict[str, tuple[int, int]]:
        """See Feed."""
        return await self._marks.erased()

    async def exchange(self, batch: bytes | None, *, after: int | None) -> tuple[int, list[bytes]]:
        """See Feed."""
        values = ["" if after is None else after, batch or b"", counts.KEPT]
        with errors(self._where):
            number, *found = await self._exchange(keys=[key_of(0, "counts")], args=values)
        return int(number), found

    async def show(self, impressions: Sequence[Impression], notices: Sequence[Notice]) -> None:
        """See Feed."""
        await self._impressions.show(impressions, notices)

    async def last_impressions(self) -> dict[int, int]:
        """See Feed."""
        return await self._impressions.last()

    async def read_impressions(
        self, shard: int, *, after: int, limit: int
    ) -> list[tuple[int, list[Impression]]]:
        """See Feed."""
        return await self._impressions.read(shard, after=after, limit=limit)

    async def forget_impressions(self, shard: int, up_to: int) -> None:
        """See Feed."""
        await self._impressions.forget(shard, up_to)

    async def close(self) -> None:
        """See Feed."""
        await self._client.aclose()

    async def _log(self, shard: int, start: int, stop: int) -> list[tuple[int, bytes]]:
        with errors(self._where):
            log = self._client.xrange(key_of(shard, "log"), f"{start}-0", f"{stop}-0")
            found = await listed(log)
        return [(int(entry.partition(b"-")[0]), fields[b"b"]) for entry, fields in found]


async def open_redis(url: str, *, shards: int = 1) -> RedisFeed:
    """The feed at redis://, rediss:// or unix://. `shards` is fixed at the first start."""
    if not 1 <= shards <= 1024:
        raise FeedError(f"the feed cannot have {shards} shards: from 1 to 1024")
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # A pooled connection may be stale after Redis restarts; a second try opens a new one.
            retry=Retry(NoBackoff(), 1, (exceptions.ConnectionError,)),
        )
    except ValueError:
        # Not the cause: it may quote a part of the address, which may hold the password.
        raise FeedError(
            "the feed's Redis address does not parse: redis://[USER:PASSWORD@]HOST:PORT/DB"
        ) from None
    options = pool.connection_kwargs
    where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    client = Redis.from_pool(pool)
    try:
        with errors(where):
            stored, warnings = await _settle(client, where=where, shards=shards)
    except FeedError:
        await client.aclose()
        raise
    return RedisFeed(client, where=where, shards=stored, warnings=warnings)


async def _settle(client: Redis, *, where: str, shards: int) -> tuple[int, tuple[str, ...]]:
    """Check the layout, store it at the first start; returns the shards and the warnings."""
    version = (await client.info("server"))["redis_version"]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise FeedError(f"Redis at {where} is {version}: the feed needs 6.2 or later")
    pipe = client.pipeline(transaction=True)
    pipe.hsetnx(LAYOUT_KEY, "layout", LAYOUT)
    pipe.hsetnx(LAYOUT_KEY, "shards", str(shards))
    pipe.hmget(LAYOUT_KEY, ["layout", "shards"])
    layout, stored = (text.decode() for text in (await pipe.execute())[-1])
    if layout == OLDER_LAYOUT:
        layout = LAYOUT
        await client.hset(LAYOUT_KEY, "layout", layout)
    if layout != LAYOUT:
        raise FeedError(
            f"the feed in Redis at {where} has layout {layout}, and this program knows {LAYOUT}: "
            "use the version of Guesslike that wrote it, or another database number"
        )
    warnings = await _weaknesses(client, where=where)
    if int(stored) != shards:
        warnings.append(
            f"the feed in Redis at {where} has {stored} shards since its first start, not {shards}"
        )
    return int(stored), tuple(warnings)


async def _weaknesses(client: Redis, *, where: str) -> list[str]:
    """Where Redis promises less than "durable when it returns"."""
    try:
        found = {name: (await client.config_get(name)).get(name) for name in _SAFE}
    except exceptions.ResponseError as error:
        if isinstance(error, exceptions.NoPermissionError) or "unknown command" in str(error):
            wanted = ", ".join(f"{name} {value}" for name, (value, _) in _SAFE.items())
            return [f"Redis at {where} does not show its settings; the feed needs {wanted}"]
        raise
    return [
        f"Redis at {where} has {name} {found[name]}: {loss}; set it to {value}"
        for name, (value, loss) in _SAFE.items()
        if found[name] != value
    ]


_NEWS = ["{guesslike:0}:news", "{guesslike:0}:news-at"]
