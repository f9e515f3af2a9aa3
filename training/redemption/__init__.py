"""Who redeems which coupon, learned from the campaigns that have ended."""
