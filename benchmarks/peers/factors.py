"""`implicit`'s factors of a dataset, as files: the obvious build, as evaluations refer to it."""

from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix, save_npz
from threadpoolctl import threadpool_limits

from recsys.dataset import Dataset
from training.run import as_of_day
from training.shop import load

FACTORS, HISTORY, MEMBERS, PRODUCTS = "factors.npz", "history.npz", "members.txt", "products.txt"


def write_factors(dataset: Path, folder: Path) -> None:
    """64 factors, 15 iterations, λ 1, α 1, on log1p of the orders; what is there stays."""
    if (folder / PRODUCTS).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shop = load(Dataset(dataset))
    bought = shop.past(as_of_day(shop, None), min_support=1).repeats
    history = csr_matrix(
        (np.log1p(bought.counts).astype(np.float32), bought.products, bought.offsets),
        shape=(len(shop.member_ids), shop.n_products),
    )
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=64, iterations=15, regularization=1.0, alpha=1.0, random_state=1
        )
        model.fit(history, show_progress=False)
    model.save(str(folder / FACTORS))
    save_npz(folder / HISTORY, history)
    (folder / MEMBERS).write_text("\n".join(shop.member_ids))
    (folder / PRODUCTS).write_text("\n".join(shop.product_ids))
