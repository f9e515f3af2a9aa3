"""Foresee every campaign of Complete Journey and print, or write into docs/coupons.md, how well.

    python -m benchmarks.coupons.run --write docs/coupons.md

The dataset is made on first need in --home, from the package of the demo. Intervals are of 2,000
paired bootstraps over the members of each campaign.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.coupons import reference
from benchmarks.quality.run import write_between
from recsys.dataset import Dataset
from recsys.errors import DataError
from training.importers import import_complete_journey
from training.redemption.campaigns import WHOLE, Campaigns
from training.redemption.campaigns import load as load_campaigns
from training.redemption.evaluate import Foreseen, auc, foresee
from training.shop import Shop, load

RANKED = {"8": (0.62, 0.46), "13": (0.60, 0.43), "18": (0.63, 0.55)}
"""campaign: recall@10 and mrr asked"""
METRICS = ("recall", "reciprocal_rank")
REDEEMERS = 10
"""a campaign with fewer says too little"""
TIMES = 2_000
TESTED_FROM = 17_393.0
"""2017-08-15, as days since 1970"""

Draw = Callable[[np.random.Generator], float]


def ranking(foreseen: dict[str, Foreseen]) -> list[str]:
    """Campaign by campaign, then over the three."""
    lines = [
        "| recall@10 / mrr | random | popular | history | **ranker** | 95 % of it | asked |",
        "|---|---|---|---|---|---|---|",
    ]
    for campaign, asked in RANKED.items():
        found = foreseen[campaign]
        rows = found.report()["rows"]
        cells = [
            f"{rows[name]['recall']:.4f} / {rows[name]['mrr']:.4f}"
            for name in ("random", "popular", "history", "ranker")
        ]
        title = f"campaign {campaign} ({found.coupons} coupons, {found.redeemed.sum()} redeemers)"
        cells[-1] = f"**{cells[-1]}**"
        cells.append(" / ".join(_spread(getattr(found.rows["ranker"], one)) for one in METRICS))
        lines.append(f"| {title} | {' | '.join(cells)} | {asked[0]:.2f} / {asked[1]:.2f} |")
    for metric in METRICS:
        gains = [
            getattr(foreseen[campaign].rows["ranker"], metric)
            - getattr(foreseen[campaign].rows["history"], metric)
            for campaign in RANKED
        ]
        lines.append(_gain(f"{metric.replace('_', ' ')}, ranker − history, over the three", gains))
    return lines


def _gain(what: str, gains: list[NDArray[np.float64]]) -> str:
    """Members of each campaign are drawn anew; all members count alike."""
    mean = np.concatenate(gains).mean()

    def draw(rng: np.random.Generator) -> float:
        return float(np.concatenate([rng.choice(one, len(one)) for one in gains]).mean())

    return f"| {what} | | | | **{mean:+.4f}** | {_interval(draw)} | above 0 |"


def _spread(of_members: NDArray[np.float64]) -> str:
    """95 % of the mean, over members drawn anew."""
    return _interval(lambda rng: float(rng.choice(of_members, len(of_members)).mean()), "{:.3f}")


def who(foreseen: dict[str, Foreseen], shop: Shop, campaigns: Campaigns) -> list[str]:
    """AUC within each campaign, beside the reference's."""
    lines = [
        "| who redeems: AUC | redeemers of targeted | L1 logistic | **ours** |",
        "|---|---|---|---|",
    ]
    tested = [
        found
        for campaign, found in foreseen.items()
        if found.redeemed.sum() >= REDEEMERS and _inside(shop, campaigns, campaign)
        and campaigns.starts[campaigns.campaign_ids.index(campaign)] >= TESTED_FROM
    ]  # fmt: skip
    theirs = [
        reference.chances(shop, campaigns, campaigns.campaign_ids.index(one.campaign_id))
        for one in tested
    ]
    pairs = [
        (auc(rival, one.redeemed), auc(one.who, one.redeemed))
        for one, rival in zip(tested, theirs, strict=True)
    ]
    for one, (rival, ours) in zip(tested, pairs, strict=True):
        of = f"{one.redeemed.sum()} of {len(one.targeted):,}"
        lines.append(f"| campaign {one.campaign_id} | {of} | {rival:.4f} | **{ours:.4f}** |")
    rival, ours = np.mean(pairs, axis=0)
    lines.append(f"| mean | | {rival:.4f} | **{ours:.4f}** |")

    def draw(rng: np.random.Generator) -> float:
        gains = []
        for one, rivals in zip(tested, theirs, strict=True):
            # as many of either kind as there were
            yes, no = np.flatnonzero(one.redeemed), np.flatnonzero(~one.redeemed)
            rows = np.concatenate((rng.choice(yes, len(yes)), rng.choice(no, len(no))))
            happened = one.redeemed[rows]
            gains.append(auc(one.who[rows], happened) - auc(rivals[rows], happened))
        return float(np.mean(gains))

    lines.append(
        f"| mean gain, asked above 0 | | | **{ours - rival:+.4f}** (95 %: {_interval(draw)}) |"
    )
    return lines


def calibration(foreseen: dict[str, Foreseen], shop: Shop, campaigns: Campaigns) -> list[str]:
    """Redemptions expected against those that came, where it is known who was given what."""
    lines = [
        "| calibration | campaigns | expected / actual: median (lowest to highest) | slope |",
        "|---|---|---|---|",
    ]
    small = [
        found
        for campaign, found in foreseen.items()
        if found.coupons <= WHOLE and _inside(shop, campaigns, campaign)
    ]
    for least, asked in ((REDEEMERS, "asked .85 to 1.15 and .8 to 1.25"), (1, "all")):
        chosen = [one for one in small if one.redeemed.sum() >= least]
        ratios = [one.chance.sum(dtype=np.float64) / one.pairs.sum() for one in chosen]
        chance = np.concatenate([one.chance.ravel() for one in chosen]).astype(np.float64)
        logits = np.log(chance / (1 - chance))[:, None]
        happened = np.concatenate([one.pairs.ravel() for one in chosen])
        lines.append(
            f"| types B and C with {least} or more redeemers ({asked}) | {len(chosen)} "
            f"| {np.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {_slope(logits, happened):.3f} |"
        )
    for campaign in RANKED:
        counts = foreseen[campaign].report()["redemptions"]
        ratio = counts["expected"] / counts["actual"]
        lines.append(
            f"| type A, campaign {campaign}, by the exposure prior | 1 | {ratio:.3f} | – |"
        )
    return lines


def _slope(logits: NDArray[np.float64], happened: NDArray[np.bool_]) -> float:
    """Of what came on the logit of what was foreseen; 1 is right, less is too sure of itself."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 half of a start-up

    return float(LogisticRegression(C=1e9).fit(logits, happened).coef_[0, 0])


def _inside(shop: Shop, campaigns: Campaigns, campaign: str) -> bool:
    """Whether the campaign had ended when the data does."""
    ends = campaigns.ends[campaigns.campaign_ids.index(campaign)]
    return bool(ends <= np.ceil(shop.history.days.max()))


def _interval(draw: Draw, shown: str = "{:+.4f}") -> str:
    rng = np.random.default_rng(1)
    low, high = np.percentile([draw(rng) for _ in range(TIMES)], (2.5, 97.5))
    return f"{shown.format(low)} to {shown.format(high)}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("var/coupons"))
    parser.add_argument(
        "--write", type=Path, help="page whose part between the markers is replaced"
    )
    asked = parser.parse_args()
    out = asked.home / "complete-journey"
    if not out.exists():
        asked.home.mkdir(parents=True, exist_ok=True)
        import_complete_journey(out)
    dataset = Dataset(out)
    shop = load(dataset)
    campaigns = load_campaigns(dataset, shop)
    foreseen = {}
    for campaign in campaigns.campaign_ids:
        try:
            foreseen[campaign] = foresee(shop, campaigns, campaign)
        except DataError as nothing:
            print(nothing)
    parts = (
        ranking(foreseen),
        who(foreseen, shop, campaigns),
        calibration(foreseen, shop, campaigns),
    )
    text = "\n\n".join("\n".join(part) for part in parts) + "\n"
    if asked.write:
        write_between(asked.write, "coupons", text)
    print(text)


if __name__ == "__main__":
    main()
