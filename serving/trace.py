"""What became of the catalogue on its way to one list: how many products each rule took away."""

import numpy as np

from recsys.model import Model
from serving.asking import Asking, Request
from serving.filling import Filled
from serving.masks import Mask
from serving.ranker import Ranker
from serving.schemas import Debug, FilledFrom, Removed
from serving.tables import Rows


def traced(ranker: Ranker, request: Request, asked: Asking, found: Filled) -> Debug:
    """Each rule counts what the rules before it left."""
    masks, model = ranker.views.masks, ranker.model
    rules, wish, unknown = request.placement.rules, request.asked, 0
    left = ranker.views.catalogue
    if asked.candidates is not None:
        left = np.array(asked.candidates, np.int32)
        if request.candidates is not None:
            unknown = len(set(request.candidates)) - len(left)
    considered = len(left)
    everything = np.ones(len(model.products), np.bool_)
    removed = {}
    for name, allowed in (
        ("out_of_stock", model.sellable),
        ("placement", everything if rules.filter is None else masks.passing(rules.filter)),
        (
            "region",
            everything if wish.region is None else masks.sold_in(wish.region),
        ),
        (
            "filter",
            everything if wish.filter is None else masks.passing(wish.filter),
        ),
        ("shown", _but(model, [*asked.seeds, *asked.shown])),
        ("excluded", _but(model, asked.excluded)),
        ("resting", _but(model, list(asked.present.resting))),
    ):
        kept: Rows = left[allowed[left]]
        removed[name] = len(left) - len(kept)
        left = kept
    return Debug(
        considered,
        Removed(unknown, **removed, one_variant=found.variants, at_most=found.alike),
        len(left),
        FilledFrom(
            found.pinned, found.page, found.member, found.catalogue, found.new, found.relaxed
        ),
    )


def _but(model: Model, rows: list[int]) -> Mask:
    """shape (products,): all but these."""
    others = np.ones(len(model.products), np.bool_)
    others[rows] = False
    return others
