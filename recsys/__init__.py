"""What things mean: tables, ids, features, scoring, filters, coupons, models, metrics. Pure."""
