import pytest

from campaigns.definition import load_campaign
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError

GOOD = """\
campaign: "24"
title: Your week
starts_at: 2017-12-01T09:00:00Z
ends_at: 2017-12-08T09:00:00Z
audience: orders > 3 and region = "north"
coupons:
  from_campaign: "24"
budget: 100
"""


def load(tmp_path, text):
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    return load_campaign(path)


def test_a_campaign_file_is_read_and_filled_from_the_settings(tmp_path):
    campaign = load(tmp_path, GOOD)
    assert campaign.occasion == "24@2017-12-01T09:00:00Z"
    filled = campaign.with_defaults(CampaignSettings(holdout=0.2))
    assert (filled.holdout, filled.margin_rate, filled.coupon_value) == (0.2, 0.25, 1.0)
    kept = load(tmp_path, GOOD + "holdout: 0\n").with_defaults(CampaignSettings(holdout=0.2))
    assert kept.holdout == 0


def test_a_later_end_is_the_same_occasion_and_another_definition(tmp_path):
    one, two = load(tmp_path, GOOD), load(tmp_path, GOOD.replace("12-08", "12-09"))
    assert one.occasion == two.occasion
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("budget: 100", "budjet: 100", r"campaign.yaml:8: unknown key 'budjet'; did you mean"),
        ("from_campaign", "from_campain", r"campaign.yaml:7: .*'coupons.from_campain'; did you"),
        ("budget: 100", "", r"'budget' is missing"),
        ("budget: 100", "budget: -1", r"campaign.yaml:8: budget: .*greater than or equal to 0"),
        ("09:00:00Z", "09:00:00", r"campaign.yaml:3: 'starts_at' needs a time zone"),
        ("2017-12-08", "2017-11-08", r"ends_at must be after starts_at"),
        ("orders > 3 and", "orders > 3 und", r"stops making sense"),
        ('campaign: "24"', "campaign: [", r"is not YAML"),
        ("coupons:\n  from_campaign: \"24\"", "coupons: []", r"campaign.yaml:6: coupons"),
    ],
)  # fmt: skip
def test_a_slip_is_named_with_its_line_and_the_mend(tmp_path, old, new, says):
    assert old in GOOD
    with pytest.raises(CampaignError, match=says):
        load(tmp_path, GOOD.replace(old, new))


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n"])
def test_a_file_that_is_no_campaign_is_refused(tmp_path, text):
    with pytest.raises(CampaignError, match="must hold keys"):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CampaignError, match="no campaign file"):
        load_campaign(tmp_path / "none.yaml")
