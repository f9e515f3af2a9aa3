"""The keys of a Redis feed, its replies, and its errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from redis import exceptions

from recsys.errors import FeedError

MARK = b"@"
"""What a mark begins with. An event begins with its number."""


def key_of(shard: int, name: str) -> str:
    """A key of a shard; all of them are in one hash slot."""
    return f"{{guesslike:{shard}}}:{name}"


def subject_key(shard: int, subject: str) -> str:
    """The key of a subject's latest events."""
    return f"{{guesslike:{shard}}}:s:{subject}"


async def listed(reply: Any) -> list[Any]:
    """A reply's type: redis-py gives one wide union for both of its clients and protocols."""
    return cast(list[Any], await reply)


@contextmanager
def errors(where: str) -> Iterator[None]:
    """What Redis and its client raise becomes a FeedError."""
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise FeedError(
            f"Redis at {where} refuses the feed ({error}): "
            "mend the user and password in its address"
        ) from error
    except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
        raise FeedError(
            f"Redis at {where} is not reachable ({error}): start it, or mend the feed's address"
        ) from error
    except exceptions.OutOfMemoryError as error:
        raise FeedError(
            f"Redis at {where} is full ({error}): drain, trim or raise its maxmemory, "
            "then send again"
        ) from error
    except exceptions.RedisError as error:
        raise FeedError(f"Redis at {where} refuses the feed: {error}") from error
