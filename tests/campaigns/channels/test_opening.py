"""Which adapter serves a channel, and what is told of a setting that is wrong."""

import base64
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes

import pytest
from pydantic import ValidationError

from campaigns.channels.opening import open_channel
from campaigns.channels.outbox import Outbox
from campaigns.channels.smtp import Server, Smtp
from campaigns.channels.webhook import Webhook
from campaigns.ledger.consent import Statement, record
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from recsys.errors import CampaignError, ChannelError, SettingsError
from tests.campaigns.channels.mail_server import CUT, MailServer, running
from tests.campaigns.channels.web_server import WebServer
from tests.campaigns.kit import MEMBERS, NOW, WEEK, Clock, composition, definition

OUT = {"public_url": "https://shop.example", "sender": "Shop <shop@shop.example>"}
WINDOW = timedelta(days=1)
HOOK = {"url": "https://sms.example/send", "secret_file": "secret"}
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def settings(**changes):
    return CampaignSettings.model_validate(OUT | changes)


def secret(folder, *lines, mode=0o600):
    file = folder / "secret"
    file.write_text("".join(f"{line}\n" for line in lines))
    file.chmod(mode)
    return file


def opened(folder, name="email", **provider):
    channel = open_channel(name, settings(channels={name: provider}), folder, window=WINDOW)
    channel.close()
    return channel


@pytest.mark.parametrize("name", ["email", "sms", "push"])
def test_a_channel_that_nothing_is_said_of_is_the_outbox(tmp_path, name):
    channel = open_channel(name, CampaignSettings(), tmp_path, window=WINDOW)
    assert channel == Outbox(tmp_path / "outbox", CampaignSettings().sender, name)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", Server("mail.example", 587, "starttls")),
        ("smtps://mail.example", Server("mail.example", 465, "implicit")),
        ("smtp://mail.example:2525", Server("mail.example", 2525, "starttls")),
        ("smtp://localhost:1025", Server("localhost", 1025, "none")),
        ("smtp://[::1]:1025", Server("::1", 1025, "none")),
        ("smtps://127.0.0.1", Server("127.0.0.1", 465, "implicit")),
        ("smtp://u%40x@mail.example", Server("mail.example", 587, "starttls", "u@x", "pass word")),
    ],
)
def test_a_mail_server_is_encrypted_unless_it_is_on_this_machine(tmp_path, url, server):
    secret(tmp_path, "pass word")
    channel = opened(tmp_path, url=url, secret_file="secret")
    assert isinstance(channel, Smtp)
    assert channel._server == server


def test_plain_has_to_be_said(tmp_path):
    channel = opened(tmp_path, url="smtp://mail.example", plain=True)
    assert channel._server.tls == "none"


def test_a_webhook_signs_with_both_lines_of_its_secret_file(tmp_path):
    secret(tmp_path, SECRET, "", SECRET)
    channel = opened(tmp_path, "sms", **HOOK, lanes=3)
    assert isinstance(channel, Webhook)
    assert channel._secrets == [b"k" * 32] * 2
    assert channel.lanes == 3


@pytest.mark.parametrize(("hours", "idempotent"), [(0, False), (23.9, False), (24, True)])
def test_keys_count_where_they_live_as_long_as_calls_may_be_made_again(tmp_path, hours, idempotent):
    secret(tmp_path, SECRET)
    assert opened(tmp_path, "sms", **HOOK, key_hours=hours).idempotent is idempotent


@pytest.mark.parametrize(
    ("lines", "mode", "says"),
    [
        ([SECRET], 0o644, "can be read by others; run: chmod 600"),
        ([], 0o600, "holds 0 lines"),
        ([SECRET] * 3, 0o600, "holds 3 lines"),
        (["s3cret"], 0o600, "no secret of the form whsec_"),
        (["whsec_c2hvcnQ="], 0o600, "no secret of the form whsec_"),
        (["whsec_!"], 0o600, "no secret of the form whsec_"),
    ],
)
def test_a_secret_file_that_will_not_do_is_named_with_the_mend(tmp_path, lines, mode, says):
    secret(tmp_path, *lines, mode=mode)
    with pytest.raises(SettingsError, match=says) as raised:
        opened(tmp_path, "push", url="https://push.example", secret_file="secret")
    assert "s3cret" not in str(raised.value)


def test_a_secret_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"no file .*gone; secret_file of channel push"):
        opened(tmp_path, "push", url="https://push.example", secret_file="gone")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"channels": {"fax": {}}}, "'email', 'sms' or 'push'"),
        ({"channels": {"email": {"url": "ftp://x"}}}, "must begin with one of outbox, smtp"),
        ({"channels": {"email": {"url": "mail.example"}}}, "must begin with one of"),
        ({"channels": {"email": {"url": "smtp://"}}}, "names no server"),
        ({"channels": {"email": {"url": "smtp://a:p4ss@mail.example"}}}, "url holds a password"),
        ({"channels": {"email": {"url": "smtp://a@mail.example"}}}, "secret_file is needed"),
        ({"channels": {"email": {"url": "smtp://mail.example:x"}}}, "no such port"),
        ({"channels": {"sms": {"url": "https://x.example"}}}, "secret_file is needed"),
        ({"channels": {"sms": {"url": "https://a@x.example", "secret_file": "s"}}}, "user name"),
        ({"channels": {"sms": {"url": "http://x.example", "secret_file": "s"}}}, "use https"),
        ({"channels": {"sms": {"url": "smtp://mail.example"}}}, "cannot go to a mail server"),
        ({"sender": "Shop\r\nBcc: all@x.example <shop@shop.example>"}, "is no mailbox"),
        ({"sender": "Shop"}, "is no mailbox"),
        ({"channels": {"email": {"bounces": "a@b.example\n"}}}, "is no mailbox"),
        ({"channels": {"sms": {"cost": -1}}}, "greater than or equal to 0"),
        ({"channels": {"email": {"seconds": 60}}}, "make the first less"),
        ({"channels": {"email": {"url": "smtps://m.example"}}, "public_url": "http://s.example"},
         "set public_url to an https"),
        ({"channels": {"email": {"url": "smtps://m.example"}}, "public_url": "https://127.0.0.1"},
         "set public_url to an https"),
        ({"channels": {"email": {"url": "smtps://m.example"}}, "sender": "a@example.invalid"},
         "set sender"),
    ],
)  # fmt: skip
def test_a_setting_that_is_wrong_stops_the_start_and_gives_nothing_away(changes, says):
    with pytest.raises(ValidationError, match=says) as raised:
        settings(**changes)
    assert "p4ss" not in str(raised.value.errors()[0]["msg"])


# A plan's whole way


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server():
    made = MailServer()
    with running(made):
        yield made


@pytest.fixture
def shop(tmp_path, clock, server):
    email = {"url": f"smtp://127.0.0.1:{server.port}", "seconds": 5}
    made = composition(tmp_path, clock)
    changed = CampaignSettings.model_validate({"channels": {"email": email}})
    return replace(made, settings=changed)


def test_a_plan_goes_out_by_mail_once(shop, server):
    plan = plan_campaign(shop, definition())[0]
    assert send_plan(shop, plan.plan_id).outcomes["accepted"] == len(MEMBERS) - 1
    send_plan(shop, plan.plan_id)
    assert sorted(to for _, to, _ in server.mails) == [f"{m}@example.invalid" for m in MEMBERS[:-1]]
    ids = {message_from_bytes(content)["Message-ID"] for _, _, content in server.mails}
    assert len(ids) == len(MEMBERS) - 1
    assert not (shop.folder / "outbox").exists()


def test_one_bad_recipient_keeps_no_other_from_their_message(shop, server, clock):
    server.script["rcpt"] = ["250 ok", "550 5.1.1 no such user"]
    server.script["message"] = ["250 ok", "451 4.7.1 greylisted"]
    plan = plan_campaign(shop, definition())[0]
    first = send_plan(shop, plan.plan_id)
    assert first.outcomes["skipped: undeliverable"] == 1
    assert send_plan(shop, plan.plan_id).held_up == "the provider asks to wait"
    clock.turn(minutes=2)
    last = send_plan(shop, plan.plan_id)
    assert last.done
    assert last.outcomes["accepted"] == len(MEMBERS) - 2
    assert len(server.mails) == len(MEMBERS) - 2
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_a_server_that_takes_nothing_from_us_stops_the_run_and_leaves_all_to_be_sent(shop, server):
    plan = plan_campaign(shop, definition())[0]
    server.script["mail"] = ["250 ok", "553 5.1.8 who is that?"]
    with pytest.raises(ChannelError, match=r"553 5.1.8; mend"):
        send_plan(shop, plan.plan_id)
    report = send_plan(shop, plan.plan_id)
    assert report.done
    assert report.outcomes["accepted"] == len(MEMBERS) - 1
    assert len({to for _, to, _ in server.mails}) == len(server.mails) == len(MEMBERS) - 1


def test_nothing_leaves_the_machine_under_a_made_up_clock(shop):
    plan = plan_campaign(shop, definition())[0]
    away = settings(channels={"email": {"url": "smtps://mail.example"}})
    with pytest.raises(CampaignError, match="under a simulated clock"):
        send_plan(replace(shop, settings=away), plan.plan_id)


# A plan's whole way over a webhook


def texted(tmp_path, clock, server, **provider):
    """A shop whose text messages go to the server, and a plan that sends one to each member."""
    secret(tmp_path, SECRET)
    made = composition(tmp_path, clock)
    sms = {"url": server.url, "secret_file": "secret", "seconds": 5, "lanes": 1} | provider
    said = [
        Statement(member, "sms", f"+4915100000{at:02}", True, NOW - WEEK, "test", "UTC", "zh")
        for at, member in enumerate(MEMBERS[:3])
    ]
    with made.open_ledger() as ledger:
        record(ledger, said, now=NOW)
    changed = CampaignSettings.model_validate({"channels": {"sms": sms}})
    made = replace(made, settings=changed)
    return made, plan_campaign(made, definition(channel="sms"))[0].plan_id


@pytest.fixture
def web():
    made = WebServer()
    with running(made):
        yield made


def keys(web):
    return Counter(headers["idempotency-key"] for _, headers, _ in web.requests)


def test_text_messages_go_to_the_webhook_once_in_the_members_language(tmp_path, clock, web):
    shop, plan_id = texted(tmp_path, clock, web)
    assert send_plan(shop, plan_id).outcomes["accepted"] == 3
    send_plan(shop, plan_id)
    assert set(keys(web).values()) == {1}
    bodies = [json.loads(body)["data"] for _, _, body in web.requests]
    assert sorted(body["to"] for body in bodies) == [f"+4915100000{at:02}" for at in range(3)]
    assert all("有效期至" in body["text"] for body in bodies)


def test_a_call_in_doubt_is_made_again_only_under_a_promise_and_the_same_key(tmp_path, clock, web):
    web.script = [CUT]
    shop, plan_id = texted(tmp_path, clock, web, key_hours=7 * 24 - 1)
    send_plan(shop, plan_id)
    clock.turn(minutes=5)
    last = send_plan(shop, plan_id)
    assert (last.outcomes["accepted"], last.outcomes["unknown"]) == (2, 1)
    assert set(keys(web).values()) == {1}


def test_under_that_promise_nothing_stays_in_doubt(tmp_path, clock, web):
    web.script = [CUT, (500, {}, b"")]
    shop, plan_id = texted(tmp_path, clock, web, key_hours=7 * 24)
    send_plan(shop, plan_id)
    clock.turn(minutes=5)
    last = send_plan(shop, plan_id)
    assert last.done
    assert last.outcomes["accepted"] == 3
    assert len(keys(web)) == 3
    assert sum(keys(web).values()) == 5
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_a_provider_that_asks_to_wait_loses_nobody(tmp_path, clock, web):
    web.script = [(200, {}, b""), (429, {"Retry-After": "30"}, b""), (410, {}, b"")]
    shop, plan_id = texted(tmp_path, clock, web)
    for _ in range(3):
        last = send_plan(shop, plan_id)
        clock.turn(minutes=1)
    assert last.done
    assert last.outcomes["accepted"] == 2
    assert last.outcomes["skipped: undeliverable"] == 1
