"""The names of the purses that one send takes from."""


def budget_purse(campaign: str) -> str:
    """Minor units that the campaign may spend."""
    return f"budget:{campaign}"


def campaign_purse(campaign: str) -> str:
    """Sends that the campaign may make; its `live` stops the campaign."""
    return f"campaign:{campaign}"


def coupon_purse(coupon: str) -> str:
    """How often the coupon may be issued over all campaigns."""
    return f"coupon:{coupon}"


def share_purse(campaign: str, coupon: str) -> str:
    """How often the campaign may issue the coupon."""
    # Quoted, so that no other pair has this name.
    return f"share:{campaign!r}/{coupon!r}"


def purses(campaign: str, coupon: str, cost: int) -> list[tuple[str, str, int]]:
    """What one send takes: (reason when there is too little, purse, how much)."""
    return [
        ("campaign_limit", campaign_purse(campaign), 1),
        ("coupon_limit", coupon_purse(coupon), 1),
        ("coupon_limit", share_purse(campaign, coupon), 1),
        ("budget", budget_purse(campaign), cost),
    ]
