import json
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest

from recsys.errors import CampaignError, LedgerError
from tests.campaigns.kit import Clock, composition


@pytest.fixture
def shop(tmp_path, clock):
    made = composition(tmp_path, clock)
    return replace(made, settings=made.settings.model_copy(update={"approval_over_pushes": 6}))


@pytest.fixture
def file(tmp_path, weekly):
    weekly("max_sends: 6\n")
    return tmp_path / "friday.yaml"


def test_a_run_tells_what_it_planned_and_sent(run, file):
    said = run("run", file, "--once", "--by", "ann")
    assert "Planned friday@2017-12-01T09:00:00Z: 6 pushes" in said
    assert "6 sent now" in said
    assert "Nothing is due." in run("run", file, "--once")


def test_json_is_one_object(run, file, clock: Clock):
    told = json.loads(run("run", file, "--once", "--json"))
    assert [one["occasion"] for one in told["planned"]] == ["friday@2017-12-01T09:00:00Z"]
    assert [one["made"] for one in told["sent"]] == [{"accepted": 6}]
    clock.turn(days=10)
    told = json.loads(run("run", file, "--once", "--json"))
    assert told["missed"] == [
        {"occasion": "friday@2017-12-08T09:00:00Z", "campaign": "friday",
         "reason": "its window was over before a run saw it"}
    ]  # fmt: skip
    assert (told["planned"], told["sent"], told["waiting"], told["failed"]) == ([], [], [], [])


def test_what_is_wrong_is_told_after_the_others_were_sent(run, shop, file, weekly, tmp_path):
    weekly("min_sends: 1\n", name="broken")
    broken = tmp_path / "broken.yaml"
    broken.write_text(broken.read_text().replace('{from_campaign: "24"}', "[c9]"))
    with pytest.raises(CampaignError, match="no coupon 'c9'"):
        run("run", file, broken, "--once")
    assert len(list((shop.folder / "outbox").glob("*.eml"))) == 6


def test_a_large_plan_waits_until_a_second_person_approves_it(run, file, weekly):
    weekly()  # 7 pushes
    said = run("run", file, "--once", "--by", "ann")
    assert "waits for approval: 7 pushes" in said
    plan = said.partition("campaigns approve ")[2].split()[0]
    assert "waits for approval" in run("send")
    with pytest.raises(CampaignError, match="waits for approval"):
        run("send", plan)
    with pytest.raises(LedgerError, match="'Ann' made plan"):
        run("approve", plan, "--by", "Ann")
    with pytest.raises(CampaignError, match="--by NAME"):
        run("approve", plan, "--by", " ")
    assert "is approved" in run("approve", plan, "--by", "bob")
    assert json.loads(run("approve", plan, "--by", "bob", "--json"))["new"] is False
    assert "7 sent now" in run("run", file, "--once")


def test_who_planned_is_taken_from_the_environment(run, file, weekly, monkeypatch):
    weekly()
    monkeypatch.setenv("USER", "carol")
    plan = json.loads(run("run", file, "--once", "--json"))["planned"][0]["plan"]
    with pytest.raises(LedgerError, match="'carol' made plan"):
        run("approve", plan, "--by", "carol")


def test_an_audience_is_checked_when_the_file_is_read(run, file):
    file.write_text(file.read_text() + 'audience: regoin = "north"\n')
    for command in ("plan", "run"):
        with pytest.raises(CampaignError, match=r"friday.yaml:\d+: .*(regoin.*region|schedule)"):
            run(command, file, *(["--once"] if command == "run" else []))


def test_a_test_goes_to_the_seeds(run, shop, file, tmp_path):
    seeds = tmp_path / "seeds.csv"
    seeds.write_text("address\nboss@shop.example\n")
    assert "1 test messages accepted" in run("test-send", file, "--to", seeds, "--by", "ann")
    told = json.loads(run("test-send", file, "--to", seeds, "--json"))
    assert told == {"made": {"accepted": 1}, "suppressed": 0}
    (mail, _) = sorted((shop.folder / "outbox").glob("*.eml"))
    subject = message_from_bytes(mail.read_bytes(), policy=default)["Subject"]
    assert subject == "[TEST] Your week: 1 € off drinks"


def test_without_once_it_goes_on_and_outlives_what_is_wrong(run, shop, file, clock, monkeypatch):
    good, rounds = file.read_text(), []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        clock.turn(days=1)
        file.write_text("campaign: [" if len(rounds) == 3 else good)
        if len(rounds) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr("campaigns.calendar.cli.time.sleep", sleep)
    said = run("run", file, code=130)
    assert said.count("Planned friday@") == 2
    assert said.count("UTC") == 2  # it is silent where nothing happens
    assert len(list((shop.folder / "outbox").glob("*.eml"))) == 12
