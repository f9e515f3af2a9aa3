import shutil
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from campaigns.channels.contract import Delivery
from campaigns.channels.smtp import Server, Smtp
from campaigns.message import Message
from recsys.errors import CampaignError, ChannelError
from tests.campaigns.channels.mail_server import (
    CUT,
    DRIP,
    MUTE,
    MailServer,
    free_port,
    make_certificate,
    running,
    took,
)
from tests.campaigns.kit import NOW

MESSAGE = Message(
    "a1b2", "ann@example.invalid", "Grüße 你好", "text\n.\n.dot\n", "<p>html</p>", "https://x/u/t"
)
ACCEPTED, UNKNOWN = Delivery.ACCEPTED, Delivery.UNKNOWN
REFUSED, REJECTED = Delivery.REFUSED, Delivery.REJECTED


@pytest.fixture
def server():
    made = MailServer()
    with running(made):
        yield made


def to(server, *, tls="none", user=None, **changes):
    where = Server("127.0.0.1", server.port, tls, user, "s3cret" if user else "")
    return Smtp(where, sender="Shop <shop@example.invalid>", **({"seconds": 5} | changes))


@pytest.fixture
def mail(server):
    made = to(server)
    yield made
    made.close()


def test_a_message_arrives_whole_under_its_send_id(server, mail):
    assert mail.deliver(MESSAGE, now=NOW).state is ACCEPTED
    ((sender, recipient, content),) = server.mails
    assert (sender, recipient) == ("shop@example.invalid", "ann@example.invalid")
    read = message_from_bytes(content, policy=policy.default)
    assert read["Subject"] == "Grüße 你好"
    assert read["Message-ID"] == "<a1b2@example.invalid>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    # a dot at the start of a line ends nothing and is not lost
    assert read.get_body(("plain",)).get_content().splitlines() == MESSAGE.text.splitlines()
    assert content.isascii()


def test_what_cannot_be_delivered_goes_back_to_the_bounce_address(server):
    mail = to(server, bounces="bounces@example.invalid")
    mail.deliver(MESSAGE, now=NOW)
    mail.close()
    assert server.mails[0][0] == "bounces@example.invalid"


def test_a_line_is_used_again_and_opened_anew_when_it_went_stale(server, mail):
    for _ in range(3):
        assert mail.deliver(MESSAGE, now=NOW).state is ACCEPTED
    assert server.lines == 1
    for stale in (CUT, "421 4.4.2 idle for too long"):
        server.script["mail"] = [stale]
        assert mail.deliver(MESSAGE, now=NOW).state is ACCEPTED
    assert server.lines == 3
    assert len(server.mails) == 5


@pytest.mark.parametrize(
    ("step", "answer", "state", "waits"),
    [
        ("greet", "421 too busy", REFUSED, True),
        ("greet", CUT, REFUSED, True),
        ("ehlo", CUT, REFUSED, True),
        ("mail", CUT, REFUSED, True),
        ("mail", "451 4.7.1 too fast", REFUSED, True),
        ("rcpt", CUT, REFUSED, True),
        ("rcpt", "450 4.2.1 greylisted", REFUSED, False),
        ("rcpt", "550 5.1.1 no such user", REJECTED, False),
        ("rcpt", "550 no such user", REJECTED, False),
        ("rcpt", "550 5.7.1 relaying denied", REFUSED, False),
        ("rcpt", "552 5.2.2 mailbox full", REFUSED, False),
        ("rcpt", "552 mailbox full", REFUSED, False),
        ("data", CUT, REFUSED, True),
        ("data", "451 4.3.0 try later", REFUSED, True),
        ("data", "554 no valid recipients", REFUSED, True),
        ("body", CUT, None, None),
        ("message", "451 4.7.1 greylisted", REFUSED, True),
        ("message", "452 4.2.2 mailbox full", REFUSED, False),
        ("message", "421 4.3.2 going down", REFUSED, True),
        ("message", "554 5.7.1 looks like spam", REFUSED, False),
        ("message", "550 no", REFUSED, False),
        ("message", "550 5.1.1 no such user", REJECTED, False),
        ("message", CUT, UNKNOWN, False),
        ("message", "what?", UNKNOWN, False),
        ("message", "999 what?", UNKNOWN, False),
    ],
)
def test_every_end_is_what_it_surely_is(server, mail, *, step, answer, state, waits):
    server.script[step] = [answer]
    found = mail.deliver(MESSAGE, now=NOW)
    if state is None:  # cut in the body: by the reader's pace before or after the last dot
        assert found.state in (REFUSED, UNKNOWN)
        return
    assert (found.state, found.wait is not None) == (state, waits)
    assert bool(server.mails) == (state is UNKNOWN and answer == CUT)
    assert "user" not in found.reason
    assert "spam" not in found.reason
    server.mails.clear()
    assert mail.deliver(replace(MESSAGE, send_id="next"), now=NOW).state is ACCEPTED
    assert len(server.mails) == 1


def test_a_refused_recipient_costs_no_line(server, mail):
    server.script["rcpt"] = ["550 5.1.1 no such user"]
    states = [mail.deliver(MESSAGE, now=NOW).state for _ in range(3)]
    assert states == [REJECTED, ACCEPTED, ACCEPTED]
    assert server.lines == 1


def test_a_huge_message_that_is_cut_before_its_end_was_surely_not_delivered(server, mail):
    server.script["body"] = [CUT]
    huge = replace(MESSAGE, text="many words\n" * 2_000_000)
    assert mail.deliver(huge, now=NOW).state is REFUSED
    assert server.mails == []


@pytest.mark.parametrize("silence", [MUTE, DRIP])
@pytest.mark.parametrize(("step", "state"), [("mail", REFUSED), ("message", UNKNOWN)])
def test_a_server_that_does_not_come_to_an_end_is_left_in_time(server, silence, step, state):
    mail = to(server, seconds=0.3)
    server.script[step] = [silence]
    began = time.monotonic()
    assert mail.deliver(MESSAGE, now=NOW).state is state
    assert took(began) < 2
    mail.close()


def test_nobody_at_the_port_is_refused_for_now():
    mail = Smtp(Server("127.0.0.1", free_port(), "none"), sender="shop@example.invalid")
    answer = mail.deliver(MESSAGE, now=NOW)
    assert answer.state is REFUSED
    assert answer.wait


def test_a_server_that_takes_no_mail_from_us_stops_the_run(server, mail):
    server.script["mail"] = ["553 5.1.8 who is that?"]
    with pytest.raises(ChannelError, match=r"refuses mail from shop@.*: 553 5.1.8; mend"):
        mail.deliver(MESSAGE, now=NOW)
    server.script["greet"] = ["554 5.7.1 you are on a list"]
    with pytest.raises(ChannelError, match=r"refuses the line: 554 5.7.1"):
        mail.deliver(MESSAGE, now=NOW)


def test_lanes_have_a_line_each(server):
    mail = to(server, lanes=4)
    server.script["message"] = []
    with ThreadPoolExecutor(4) as lanes:
        ones = [replace(MESSAGE, send_id=f"s{at}") for at in range(40)]
        answers = list(lanes.map(lambda one: mail.deliver(one, now=NOW), ones))
    mail.close()
    assert {answer.state for answer in answers} == {ACCEPTED}
    arrived = [message_from_bytes(content)["Message-ID"] for _, _, content in server.mails]
    assert sorted(arrived) == sorted(f"<s{at}@example.invalid>" for at in range(40))
    assert server.lines <= 4


@pytest.mark.parametrize("name", ["to", "subject", "unsubscribe", "send_id"])
@pytest.mark.parametrize("line_break", ["\n", "\r", "\u2028", "\x00"])
def test_no_header_can_be_smuggled_in(name, line_break):
    smuggled = f"a@example.invalid{line_break}Bcc: all@example.invalid"
    with pytest.raises(CampaignError, match="holds a line break"):
        replace(MESSAGE, **{name: smuggled})


# TLS, with a certificate of our own


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    return make_certificate(tmp_path)


@pytest.fixture(params=["starttls", "implicit"])
def secure(request, certificate):
    made = MailServer(certificate, implicit=request.param == "implicit")
    with running(made):
        yield made, request.param, certificate


def test_login_and_message_go_over_a_line_that_is_checked(secure):
    server, tls, certificate = secure
    trust = ssl.create_default_context(cafile=certificate)
    mail = to(server, tls=tls, user="shop", trust=trust)
    assert mail.deliver(MESSAGE, now=NOW).state is ACCEPTED
    mail.close()
    assert server.logins == [("shop", "s3cret")]
    assert len(server.mails) == 1


def test_a_certificate_that_nobody_vouches_for_stops_the_run(secure):
    server, tls, _ = secure
    mail = to(server, tls=tls, user="shop")
    with pytest.raises(ChannelError, match=r"certificate of mail server 127.0.0.1 does not hold"):
        mail.deliver(MESSAGE, now=NOW)
    assert (server.logins, server.mails) == ([], [])


def test_a_certificate_of_another_name_stops_the_run(tmp_path, certificate):
    other = tmp_path / "other"
    other.mkdir()
    foreign = make_certificate(other, "mail.example.invalid")
    server = MailServer(foreign)
    with running(server):
        mail = to(server, tls="starttls", trust=ssl.create_default_context(cafile=foreign))
        with pytest.raises(ChannelError, match="does not hold"):
            mail.deliver(MESSAGE, now=NOW)


def test_no_login_goes_over_an_open_line_where_tls_is_asked_for(server):
    mail = to(server, tls="starttls", user="shop")
    with pytest.raises(ChannelError, match="does not offer STARTTLS"):
        mail.deliver(MESSAGE, now=NOW)
    assert (server.logins, server.mails) == ([], [])


def test_a_wrong_login_stops_the_run_and_one_that_fails_for_now_does_not(server):
    mail = to(server, user="shop")
    server.script["auth"] = ["454 4.7.0 try later"]
    assert mail.deliver(MESSAGE, now=NOW).state is REFUSED
    server.script["auth"] = ["535 5.7.8 wrong"]
    with pytest.raises(ChannelError, match=r"refuses the login: 535 5.7.8; mend"):
        mail.deliver(MESSAGE, now=NOW)
    assert "s3cret" not in repr(mail._server)
