"""Every kind of feed, by its address."""

from dataclasses import dataclass

from serving.feed import Feed, open_feed


@dataclass(frozen=True)
class Store:
    """An empty store, and how many logs its feed has."""

    url: str
    shards: int

    async def open(self) -> Feed:
        """Its feed; close it."""
        return await open_feed(self.url, shards=self.shards)
