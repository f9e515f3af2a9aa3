"""Marks in Redis: identifications and erasures, and what they add to a member's latest events."""

from collections.abc import Iterable, Mapping

from redis.asyncio import Redis

from serving.feed import body, mark_scripts
from serving.feed.contract import Event, Recent, RecentEvent, shard_of
from serving.feed.marks import REACH, decode_member, decode_visitor, merged, of_member
from serving.feed.redis_keys import MARK, errors, key_of, listed, subject_key


class RedisMarks:
    """The scripts of `mark_scripts.py`.

    A member and its visitors may be in different shards. What a kill leaves half done is what the
    same call, made again, goes on from.
    """

    def __init__(self, client: Redis, *, where: str, shards: int) -> None:
        self._client = client
        self._where = where
        self._shards = shards
        self._claim = client.register_script(mark_scripts.CLAIM)
        self._identify = client.register_script(mark_scripts.IDENTIFY)
        self._disown = client.register_script(mark_scripts.DISOWN)
        self._erase = client.register_script(mark_scripts.ERASE)
        self._trimmed = client.register_script(mark_scripts.TRIMMED)

    async def recent(
        self, subject: str, mark: bytes, own: list[RecentEvent], *, after: Mapping[int, int],
        limit: int,
    ) -> Recent:  # fmt: skip
        """A marked member's latest events, its visitors' among them; `own` are its own."""
        member = decode_member(mark)
        hidden = member.erased > after.get(shard_of(subject, self._shards), 0)
        if not member.visitors:
            return Recent(own, hidden=hidden)
        pipe = self._client.pipeline(transaction=False)
        places = [self._place(f"v:{visitor}") for visitor in member.visitors]
        for _, key in places:
            pipe.lrange(key, -limit - 1, -1)
        with errors(self._where):
            lists = await pipe.execute()
        theirs = []
        for (shard, _), found in zip(places, lists, strict=True):
            if not found or not found[-1].startswith(MARK):
                continue  # a kill came between the two halves of an identification
            history = decode_visitor(found.pop()[1:])
            numbered = (element.partition(b" ") for element in found[-limit:])
            events = ((int(seq), body.decode_recent(packed)) for seq, _, packed in numbered)
            beyond = after.get(shard, 0)
            theirs.append(of_member(subject.removeprefix("m:"), history, events, after=beyond))
        return Recent(merged(own, theirs, limit), hidden=hidden)

    async def identify(self, login: Event) -> bool:
        """See Feed. The member's half comes first: without the visitor's it says nothing."""
        member, visitor = str(login.member_id), str(login.visitor_id)
        with errors(self._where):
            gone = await self._claim(keys=[self._place(f"m:{member}")[1]], args=[visitor, REACH])
            if gone is not None:
                await self._disown(keys=[self._place(f"v:{gone.decode()}")[1]], args=[member, 0])
            shard, key = self._place(f"v:{visitor}")
            new = await self._identify(
                keys=[*_numbering(shard), key],
                args=[login.occurred_at, login.event_id, body.encode(login), member, REACH],
            )
        return bool(new)

    async def erase(self, erasure: Event, *, now: int) -> None:
        """See Feed. The member's half comes last: it names the visitors."""
        member = str(erasure.member_id)
        shard, key = self._place(f"m:{member}")
        with errors(self._where):
            latest = await listed(self._client.lrange(key, -1, -1))
            if latest and latest[0].startswith(MARK):
                for visitor in decode_member(latest[0][1:]).visitors:
                    await self._disown(keys=[self._place(f"v:{visitor}")[1]], args=[member, 1])
            await self._erase(
                keys=[*_numbering(shard), key, key_of(shard, "erased")],
                args=[now, erasure.event_id, body.encode(erasure), member],
            )

    async def erased(self) -> dict[str, tuple[int, int]]:
        """See Feed."""
        pipe = self._client.pipeline(transaction=False)
        for shard in range(self._shards):
            pipe.hgetall(key_of(shard, "erased"))
        with errors(self._where):
            found = await pipe.execute()
        return {
            member.decode(): (shard, int(seq))
            for shard, members in enumerate(found)
            for member, seq in members.items()
        }

    async def trim(self, shard: int, up_to: int, members: Iterable[str]) -> None:
        """Let go of the erasures of these members up to a number."""
        if members := list(members):
            keys = [key_of(shard, "erased"), *(subject_key(shard, f"m:{one}") for one in members)]
            with errors(self._where):
                await self._trimmed(keys=keys, args=[up_to, *members])

    def _place(self, subject: str) -> tuple[int, str]:
        """A subject's shard, and the key of its list."""
        shard = shard_of(subject, self._shards)
        return shard, subject_key(shard, subject)


def _numbering(shard: int) -> list[str]:
    return [key_of(shard, "log"), key_of(shard, "seen"), key_of(shard, "mark")]
