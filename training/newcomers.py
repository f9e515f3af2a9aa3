"""A shop in which some members have only just come: what a short history is worth."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.ids import unit_interval
from training.orders import orders
from training.shop import Shop

MOST_ORDERS = 2


def with_newcomers(
    shop: Shop, share: float, instants: NDArray[np.float64]
) -> tuple[Shop, NDArray[np.bool_]]:
    """Forget what a share of the members did before their latest one or two orders.

    `instants`, shape (members,), in days: the orders are the latest before them; what comes later
    stays. Who is chosen, and for how many orders, follows from the member's id alone. Returns the
    shop and who was chosen, shape (members,).
    """
    chosen = np.array([unit_interval("newcomers", one) < share for one in shop.member_ids])
    back = [int(MOST_ORDERS * unit_interval("newcomers' orders", one)) for one in shop.member_ids]
    found = orders(shop.known_before(instants).purchases())
    begins = np.append(found.starts, -np.inf)[found.latest(np.array(back))]
    kept = shop.history.days >= np.where(chosen, begins, -np.inf)[shop.history.members]
    return replace(shop, history=shop.history.where(kept), known=shop.known[kept]), chosen
