"""Who gets which coupon of which campaign: the most value within all limits, and how near."""
