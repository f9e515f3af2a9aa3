"""When a campaign comes round, and what is due now."""
