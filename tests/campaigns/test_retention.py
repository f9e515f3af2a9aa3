"""Old plans go, but for those that may still be sent."""

import os
from datetime import timedelta
from pathlib import Path

from campaigns.retention import forget_plans
from campaigns.run import plan_campaign, send_plan
from tests.campaigns.kit import NOW, Clock, composition, definition


def test_an_old_plan_goes_once_it_is_done(tmp_path: Path) -> None:
    clock = Clock()
    shop = composition(tmp_path, clock)
    plan, _ = plan_campaign(shop, definition())
    files = [shop.plans / f"{plan.plan_id}.{kind}" for kind in ("parquet", "json")]
    for path in files:
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    assert forget_plans(shop, before=NOW) == []
    later = NOW + timedelta(days=30)
    assert forget_plans(shop, before=later) == [], "it may still be sent"
    send_plan(shop, plan.plan_id)
    assert all(path.exists() for path in files)
    assert forget_plans(shop, before=later) == [plan.plan_id]
    assert list(shop.plans.iterdir()) == []
    assert forget_plans(shop, before=later) == []
