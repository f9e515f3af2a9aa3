"""New products out of the feed into the dataset, as long as no import has them.

One file, written anew by each drain. A product leaves it once another file of the table has it: its
rows carry the time of telling, and would hold against an import without times for ever.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from recsys.dataset import TABLES, Dataset
from serving import parts
from serving.feed.contract import Feed
from serving.feed.news import ProductNews

TOLD = "feed-told.parquet"
_FACTS = ("title", "category", "brand", "regions", "price")
"""what is drained; stock stays with the feed, which outlives models"""
_SCHEMA = {
    name: TABLES["products"].schema[name]
    for name in ("product_id", *_FACTS, "launched_at", "valid_from")
}


async def drain_told(feed: Feed, dataset: Path) -> None:
    """Write products/feed-told.parquet: what has a title and stands in no other file."""
    _, news = await feed.told(after=0)
    path = dataset / "products" / TOLD
    before = pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=_SCHEMA)
    rows = _rows(before, news, _imported(dataset, path))
    if rows.equals(before):
        return
    path.parent.mkdir(exist_ok=True)
    parts.flush(dataset)
    parts.write(rows, path)


def _imported(dataset: Path, told: Path) -> set[str]:
    """Ids in the table's other files."""
    others = [file for file in Dataset(dataset).files("products") if file != told]
    return {
        product_id
        for file in others
        for product_id in pl.read_parquet(file, columns=["product_id"])["product_id"]
        .cast(pl.String)
        .to_list()
    }


def _rows(before: pl.DataFrame, news: Sequence[ProductNews], imported: set[str]) -> pl.DataFrame:
    """One row a product: known since it was told so, launched when it was told of first.

    What the feed does not speak of stays: the feed may be a new one.
    """
    rows = {row["product_id"]: row for row in before.iter_rows(named=True)}
    for one in news:
        if one.title is None or one.told_at is None:
            rows.pop(one.product_id, None)
            continue
        facts: dict[str, Any] = {name: getattr(one, name) for name in _FACTS}
        known = rows.get(one.product_id)
        if known is None or any(known[name] != fact for name, fact in facts.items()):
            at = datetime.fromtimestamp(one.told_at, UTC)
            launched = at if known is None else known["launched_at"]
            rows[one.product_id] = {
                "product_id": one.product_id,
                **facts,
                "launched_at": launched,
                "valid_from": at,
            }
    kept = [row for product_id, row in sorted(rows.items()) if product_id not in imported]
    return pl.DataFrame(kept, schema=_SCHEMA)
