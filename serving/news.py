"""What the shop says of stock and price between two models, taken up by every worker."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from recsys.errors import FeedError
from serving.feed.contract import Feed
from serving.ranker import Ranker

log = logging.getLogger(__name__)


async def take_up(feed: Feed, ranker: Ranker) -> None:
    """Tell a ranker what it has not heard yet; FeedError where the feed fails."""
    number, news = await feed.told(after=ranker.heard)
    if news:
        ranker.hear(news, number=number)


async def follow(feed: Feed, rankers: Callable[[], Iterable[Ranker]], every_seconds: float) -> None:
    """Go on taking up news. While the feed fails, what was heard before holds."""
    failing = False
    while True:
        await asyncio.sleep(every_seconds)
        try:
            for ranker in rankers():
                await take_up(feed, ranker)
            failing = False
        except FeedError as error:
            if not failing:
                log.warning("news of products cannot be read now: %s", error)
            failing = True
