"""The service that one writes in an afternoon: FastAPI over `implicit`'s recommend, on the factors
and with the history of the same dataset. No events, rules or reasons. Imported only by the server.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import load_npz

from benchmarks.peers.factors import FACTORS, HISTORY, MEMBERS, PRODUCTS
from benchmarks.serving.server import READ_PATH

HOME = "PEER_HOME"
"""names the folder that `factors` has written"""


def create_app(clock: str) -> FastAPI:
    """As FastAPI's documentation has a call that computes: a plain function, in a thread."""
    app, recommend = FastAPI(), _recommend()

    @app.get(READ_PATH)
    def recommendations(member_id: str, limit: int = 20) -> dict[str, Any]:
        return recommend(member_id, limit)

    return app


def create_async_app(clock: str) -> FastAPI:
    """On the event loop: one at a time, and no hand-over to a thread."""
    app, recommend = FastAPI(), _recommend()

    @app.get(READ_PATH)
    async def recommendations(member_id: str, limit: int = 20) -> dict[str, Any]:
        return recommend(member_id, limit)

    return app


def _recommend() -> Callable[[str, int], dict[str, Any]]:
    folder = Path(os.environ[HOME])
    model = AlternatingLeastSquares.load(str(folder / FACTORS))
    history = load_npz(folder / HISTORY)
    row_of = {one: row for row, one in enumerate((folder / MEMBERS).read_text().splitlines())}
    product_ids = (folder / PRODUCTS).read_text().splitlines()

    def recommend(member_id: str, limit: int) -> dict[str, Any]:
        row = row_of[member_id]
        products, scores = model.recommend(
            row, history[row], N=limit, filter_already_liked_items=True
        )
        return {
            "items": [
                {"product_id": product_ids[product], "score": score}
                for product, score in zip(products.tolist(), scores.tolist(), strict=True)
            ]
        }

    return recommend
