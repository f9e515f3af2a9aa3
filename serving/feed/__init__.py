"""The present: one contract, an SQLite file by default, Redis by URL."""

from pathlib import Path

from recsys.errors import FeedError, ModelError
from recsys.model import Model
from serving.feed.contract import Feed
from serving.feed.redis import open_redis
from serving.feed.sqlite import open_sqlite

__all__ = ["Feed", "check_numbers", "open_feed"]


async def open_feed(url: str, *, shards: int = 1) -> Feed:
    """The feed at a path, sqlite:///PATH, redis://, rediss:// or unix:// address.

    `shards` counts for a new Redis feed alone; a file has one.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        return open_sqlite(Path(url))
    if scheme == "sqlite":
        return open_sqlite(Path(rest.removeprefix("/")))
    if scheme in ("redis", "rediss", "unix"):
        return await open_redis(url, shards=shards)
    raise FeedError(
        f"the feed's address starts with {scheme}://, which is not known: "
        "name a file, or redis://HOST:PORT/DB, rediss://… or unix://PATH"
    )


async def check_numbers(feed: Feed, model: Model) -> None:
    """A feed that is behind its model was emptied or exchanged: new events would be taken for
    ones that the model contains. ModelError says so."""
    last = await feed.last_sequences()
    for shard, contained in model.feed_sequences.items():
        if last.get(shard, 0) < contained:
            raise ModelError(
                f"the feed ends at event {last.get(shard, 0)} of shard {shard}, and model "
                f"{model.version} contains {contained}: it was emptied, or it is another shop's. "
                "Restore the feed, or publish a model of a dataset without these feed parts."
            )
