"""Impressions in Redis: the scripts of `impression_scripts.py`."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from serving.feed.contract import shard_of
from serving.feed.impression_scripts import RECENT, SHOW
from serving.feed.impressions import (
    KEPT_BATCHES,
    KEPT_DAYS,
    KEPT_PRODUCTS,
    MOST_SHOWINGS,
    Impression,
    Notice,
    by_subject,
    decode,
    encode,
)
from serving.feed.redis_keys import errors, key_of, listed, subject_key


class RedisImpressions:
    """What was shown to a subject is in its shard, beside its events."""

    def __init__(self, client: Redis, *, where: str, shards: int) -> None:
        self._client = client
        self._where = where
        self._shards = shards
        self._recent = client.register_script(RECENT)
        self._show = client.register_script(SHOW)

    async def recent(self, shard: int, subject: str, first: int) -> list[Any]:
        """The subject's list from an element on, and what is kept of its showings or None."""
        keys = subject_key(shard, subject), _shown_key(shard, subject)
        try:  # straight by its hash: a tenth less than through the script's object
            return await listed(self._client.evalsha(self._recent.sha, 2, *keys, str(first)))
        except exceptions.NoScriptError:
            return await listed(self._recent(keys=keys, args=[first]))

    async def show(self, impressions: Sequence[Impression], notices: Sequence[Notice]) -> None:
        """See Feed."""
        shards: dict[int, tuple[list[Impression], list[Notice]]] = {}
        for one in impressions:
            shards.setdefault(shard_of(one.subject, self._shards), ([], []))[0].append(one)
        for notice in notices:
            shards.setdefault(shard_of(notice.subject, self._shards), ([], []))[1].append(notice)
        with errors(self._where):
            await asyncio.gather(*(self._show_in(shard, *batch) for shard, batch in shards.items()))

    async def _show_in(
        self, shard: int, impressions: list[Impression], notices: list[Notice]
    ) -> None:
        noticed = by_subject(notices)
        keys = [key_of(shard, "impressions"), key_of(shard, "mark"), key_of(shard, "erased")]
        keys += (_shown_key(shard, subject) for subject in noticed)
        batch = encode(impressions) if impressions else b""
        kept = (KEPT_BATCHES, MOST_SHOWINGS, KEPT_PRODUCTS, KEPT_DAYS * 86_400)
        await self._show(keys=keys, args=[batch, *kept, *map(encode, noticed.values())])

    async def last(self) -> dict[int, int]:
        """See Feed."""
        pipe = self._client.pipeline(transaction=False)
        for shard in range(self._shards):
            pipe.hget(key_of(shard, "mark"), "batches")
        with errors(self._where):
            return {shard: int(last or 0) for shard, last in enumerate(await pipe.execute())}

    async def read(
        self, shard: int, *, after: int, limit: int
    ) -> list[tuple[int, list[Impression]]]:
        """See Feed."""
        with errors(self._where):
            stream = self._client.xrange(key_of(shard, "impressions"), f"{after + 1}-0", "+", limit)
            found = await listed(stream)
        return [(int(entry.partition(b"-")[0]), decode(fields[b"b"])) for entry, fields in found]

    async def forget(self, shard: int, up_to: int) -> None:
        """See Feed."""
        first = f"{up_to + 1}-0"
        with errors(self._where):
            await self._client.xtrim(key_of(shard, "impressions"), minid=first, approximate=False)

    async def erase(self, member_id: str) -> None:
        """Forget what a member was shown."""
        subject = f"m:{member_id}"
        with errors(self._where):
            await self._client.delete(_shown_key(shard_of(subject, self._shards), subject))


def _shown_key(shard: int, subject: str) -> str:
    return key_of(shard, f"shown:{subject}")
