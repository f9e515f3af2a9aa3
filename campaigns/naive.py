"""The simpler plan to compare with: everyone's best coupon, first come, first served."""

import numpy as np
from numba import njit

from campaigns.account import Naive
from campaigns.allocation.passes import uses
from campaigns.share import Shared
from campaigns.weigh import Weighed


def with_naive(weighed: Weighed, shared: Shared) -> Shared:
    """The same, with what the simpler plan comes to in its account.

    Members come in the order of their lots and take the best that is left, worth more than
    nothing; limits, holdouts and kept slots count as in the plan itself. Campaigns that fall short
    of their minimum are taken away, and all come again.
    """
    table, account = weighed.table, shared.account
    order = np.argsort(weighed.lots, kind="stable")
    names = [one.campaign.campaign for one in weighed.drafts]
    least = {one.campaign: one.least for one in account.minimums}
    shut = np.zeros(len(table.campaign), np.bool_)
    while True:
        taken = np.full(len(order), -1, np.int64)
        _serve(order, table.choices, shared.plan.rules, table.campaign, weighed.held, shut, taken)
        places = taken[taken >= 0]
        offer = table.choices.offer[places]
        campaign, value = table.campaign[offer], table.choices.value[places].astype(np.float64)
        pushes = np.bincount(campaign[campaign >= 0], minlength=len(names))
        short = [at for at, name in enumerate(names) if 0 < pushes[at] < least.get(name, 0)]
        if not short:
            break
        shut |= np.isin(table.campaign, short)
    naive = [
        Naive(
            campaign=name,
            pushes=int(pushes[at]),
            cost=int(table.cost[offer[campaign == at]].sum()),
            value=float(value[campaign == at].sum()),
        )
        for at, name in enumerate(names)
    ]
    return shared.noting(naive=naive, naive_value=float(value.sum()))


@njit(cache=True)
def _serve(order, choices, rules, campaign, held, shut, taken):  # type: ignore[no-untyped-def]
    """Sets `taken` to the place among the choices of those who get something and are not held
    out of it."""
    offsets, value, cost, offer = choices
    bound, _, starts, listed, amount = rules
    use = np.zeros(len(bound), np.int64)
    for row in order:
        best, worth = -1, 0.0
        for place in range(offsets[row], offsets[row + 1]):
            one = offer[place]
            if shut[one] or value[place] <= worth:
                continue
            fits = True
            for i in range(starts[one], starts[one + 1]):
                rule = listed[i]
                unit = uses(amount[i], cost[place])
                if unit > 0 and use[rule] + unit > bound[rule]:
                    fits = False
                    break
            if fits:
                best, worth = place, value[place]
        if best < 0:
            continue
        one = offer[best]
        if campaign[one] >= 0 and held[campaign[one], row]:
            continue
        taken[row] = best
        for i in range(starts[one], starts[one + 1]):
            use[listed[i]] += uses(amount[i], cost[best])
