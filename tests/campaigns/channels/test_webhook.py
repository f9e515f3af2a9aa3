import base64
import hashlib
import hmac
import json
import shutil
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.channels.contract import Delivery
from campaigns.channels.webhook import Webhook, signed
from campaigns.message import Message
from recsys.errors import ChannelError
from tests.campaigns.channels.mail_server import (
    CUT,
    DRIP,
    MUTE,
    free_port,
    make_certificate,
    running,
    took,
)
from tests.campaigns.channels.web_server import WebServer
from tests.campaigns.kit import NOW

MESSAGE = Message("a1b2", "+49 151 1234-5678", "Your week", "你好 1 € off", "", "https://x/u/t")
ACCEPTED, UNKNOWN = Delivery.ACCEPTED, Delivery.UNKNOWN
REFUSED, REJECTED = Delivery.REFUSED, Delivery.REJECTED
OLD, NEW = b"o" * 32, b"n" * 32
RECIPIENT = b'{"error": "recipient"}'
SOON = timedelta(seconds=90)


@pytest.fixture
def server():
    made = WebServer()
    with running(made):
        yield made


def to(server, **changes):
    facts = {"channel": "sms", "secrets": [NEW], "seconds": 5}
    return Webhook(server.url, **(facts | changes))


@pytest.fixture
def hook(server):
    made = to(server)
    yield made
    made.close()


def test_a_message_arrives_as_json_under_its_send_id(server, hook):
    assert hook.deliver(MESSAGE, now=NOW).state is ACCEPTED
    ((path, headers, body),) = server.requests
    assert path == "/send?shop=1"
    assert (headers["webhook-id"], headers["idempotency-key"]) == ("a1b2", "a1b2")
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "message.send",
        "timestamp": "2017-12-01T09:00:00+00:00",
        "data": {
            "send_id": "a1b2",
            "channel": "sms",
            "to": "+4915112345678",
            "subject": "Your week",
            "text": "你好 1 € off",
            "html": None,
            "unsubscribe": "https://x/u/t",
        },
    }


def verified(headers, body, secret):
    """As a receiver does it, by the letter of the specification."""
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    own = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
    return any(
        one.partition(",")[0] == "v1" and hmac.compare_digest(one.partition(",")[2], own)
        for one in headers["webhook-signature"].split(" ")
    )


def test_a_receiver_with_the_old_or_the_new_secret_knows_who_sent_it(server):
    hook = to(server, secrets=[NEW, OLD])
    hook.deliver(MESSAGE, now=NOW)
    hook.close()
    _, headers, body = server.requests[0]
    assert int(headers["webhook-timestamp"]) == NOW.timestamp()
    assert verified(headers, body, OLD)
    assert verified(headers, body, NEW)
    assert not verified(headers, body, b"x" * 32)
    assert not verified(headers, body + b" ", NEW)
    assert not verified(headers | {"webhook-id": "a1b3"}, body, NEW)


def test_the_signature_is_that_of_the_published_example():
    """https://docs.svix.com/receiving/verifying-payloads/how-manual"""
    secret = base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")
    body = b'{"event_type":"ping","data":{"success":true}}'
    text = b"msg_loFOjxBNrRLzqYUf.1731705121." + body
    own = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
    at = NOW.fromtimestamp(1731705121, NOW.tzinfo)
    made = signed("msg_loFOjxBNrRLzqYUf", body, [secret], at)
    assert (
        made["webhook-signature"]
        == f"v1,{own}"
        == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
    )


@pytest.mark.parametrize(
    ("answer", "state", "wait"),
    [
        ((200, {}, b"{}"), ACCEPTED, None),
        ((204, {}, b""), ACCEPTED, None),
        ((429, {"Retry-After": "90"}, b""), REFUSED, SOON),
        ((429, {"Retry-After": format_datetime(NOW + SOON, usegmt=True)}, b""), REFUSED, SOON),
        ((429, {}, b""), REFUSED, timedelta(minutes=1)),
        ((429, {"Retry-After": "9" * 30}, b""), REFUSED, timedelta(days=1)),
        ((503, {"Retry-After": "90"}, b""), REFUSED, SOON),
        ((503, {}, b""), UNKNOWN, None),
        ((503, {"Retry-After": "soon"}, b""), UNKNOWN, None),
        ((410, {}, b""), REJECTED, None),
        ((400, {}, RECIPIENT), REJECTED, None),
        ((404, {}, RECIPIENT), REJECTED, None),
        ((422, {}, RECIPIENT), REJECTED, None),
        ((400, {}, b'{"error": "text"}'), REFUSED, None),
        ((422, {}, b"[]"), REFUSED, None),
        ((413, {}, RECIPIENT), REFUSED, None),
        ((408, {}, b""), UNKNOWN, None),
        ((409, {}, b""), UNKNOWN, None),
        ((500, {}, RECIPIENT), UNKNOWN, None),
        ((502, {}, b""), UNKNOWN, None),
        (CUT, UNKNOWN, None),
    ],
)
def test_every_end_is_what_it_surely_is(server, hook, answer, state, wait):
    server.script = [answer]
    found = hook.deliver(MESSAGE, now=NOW)
    assert (found.state, found.wait) == (state, wait)
    assert hook.deliver(MESSAGE, now=NOW).state is ACCEPTED


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "secrets in secret_file"),
        (403, "secrets in secret_file"),
        (404, "mend url"),
        (405, "mend url"),
        (302, "redirect, which is not followed"),
        (308, "redirect, which is not followed"),
    ],
)
def test_what_would_refuse_every_message_stops_the_run(server, hook, status, says):
    server.script = [(status, {"Location": server.url}, b"")]
    with pytest.raises(ChannelError, match=f"Channel sms: 127.0.0.1 answers {status}: .*{says}"):
        hook.deliver(MESSAGE, now=NOW)
    assert len(server.requests) == 1


@pytest.mark.parametrize("silence", [MUTE, DRIP])
def test_a_server_that_does_not_come_to_an_end_is_left_in_time(server, silence):
    hook = to(server, seconds=0.3)
    server.script = [silence]
    began = time.monotonic()
    assert hook.deliver(MESSAGE, now=NOW).state is UNKNOWN
    assert took(began) < 2


def test_nobody_at_the_port_is_refused_for_now():
    hook = Webhook(f"http://127.0.0.1:{free_port()}/", channel="push", secrets=[NEW])
    answer = hook.deliver(replace(MESSAGE, to="token-of-a-phone"), now=NOW)
    assert answer.state is REFUSED
    assert answer.wait


def test_a_line_is_used_again_and_never_after_the_other_side_closed_it(server, hook):
    for _ in range(3):
        hook.deliver(MESSAGE, now=NOW)
    assert server.lines == 1
    server.script = [(200, {"Connection": "close"}, b"")]
    for _ in range(3):
        assert hook.deliver(MESSAGE, now=NOW).state is ACCEPTED
    assert server.lines == 2
    big = b"x" * 200_000
    server.script = [(200, {}, big)]
    assert hook.deliver(MESSAGE, now=NOW).state is ACCEPTED
    assert hook.deliver(MESSAGE, now=NOW).state is ACCEPTED
    assert server.lines == 3


def test_lanes_have_a_line_each(server):
    hook = to(server, lanes=4)
    with ThreadPoolExecutor(4) as lanes:
        ones = [replace(MESSAGE, send_id=f"s{at}") for at in range(40)]
        answers = list(lanes.map(lambda one: hook.deliver(one, now=NOW), ones))
    hook.close()
    assert {answer.state for answer in answers} == {ACCEPTED}
    assert {headers["webhook-id"] for _, headers, _ in server.requests} == {
        f"s{at}" for at in range(40)
    }
    assert server.lines <= 4


def test_a_certificate_is_checked(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    certificate = make_certificate(tmp_path)
    server = WebServer(certificate)
    with running(server):
        stranger = to(server)
        with pytest.raises(ChannelError, match="does not hold"):
            stranger.deliver(MESSAGE, now=NOW)
        assert server.requests == []
        hook = to(server, trust=ssl.create_default_context(cafile=certificate))
        assert hook.deliver(MESSAGE, now=NOW).state is ACCEPTED
        assert hook.deliver(MESSAGE, now=NOW).state is ACCEPTED
        hook.close()
    assert len(server.requests) == 2


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_breaks_the_signature(text, subject):
    body = json.dumps([text, subject]).encode()
    headers = signed("id", body, [OLD], NOW)
    assert verified(headers, body, OLD)
