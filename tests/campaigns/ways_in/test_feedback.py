"""What providers send over HTTP, and what others send in their name."""

import json
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from sqlalchemy import text

from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from campaigns.ways_in.feedback.routes import MOST_BYTES, routes
from recsys.errors import SettingsError
from tests.campaigns.kit import NOW, Clock, composition, definition
from tests.campaigns.ways_in import providers
from tests.campaigns.ways_in.providers import (
    ANOTHER,
    CALLBACK,
    PEM,
    TOPIC,
    TWILIO,
    WHSEC,
    Post,
    certificate,
    verification_key,
)

pytestmark = pytest.mark.anyio
AT = NOW + timedelta(minutes=1)
FEEDBACK = {
    "push": {"scheme": "standard", "secret_file": "push.key"},
    "grid": {"scheme": "sendgrid", "secret_file": "grid.key"},
    "sms": {"scheme": "twilio", "secret_file": "sms.key", "url": CALLBACK},
    "ses": {"scheme": "sns", "topics": [TOPIC]},
}
SIGNED = {
    "push": providers.standard,
    "grid": providers.sendgrid,
    "sms": providers.twilio,
    "ses": providers.sns,
}
KINDS = {
    "push": ["delivered", "bounced", "complained", "unregistered", "unsubscribed", "failed"],
    "grid": list(providers.SENDGRID_EVENTS),
    "sms": list(providers.TWILIO_EVENTS),
    "ses": list(providers.SES_EVENTS),
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    for name, secret in (("push", WHSEC), ("grid", verification_key()), ("sms", TWILIO)):
        path = tmp_path / f"{name}.key"
        path.write_text(f"{secret}\n")
        path.chmod(0o600)
    made = replace(
        composition(tmp_path, clock),
        settings=CampaignSettings.model_validate({"feedback": FEEDBACK}),
    )
    plan, _ = plan_campaign(made, definition())
    send_plan(made, plan.plan_id)
    clock.turn(minutes=1)
    return made


@pytest.fixture
def fetched():
    return []


@pytest.fixture
async def client(shop, fetched):
    def fetch(url):
        fetched.append(url)
        if "none" in url:
            raise OSError
        return certificate(NOW)

    app = FastAPI()
    app.include_router(routes(shop, fetch=fetch))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


@pytest.fixture
def sent(shop):
    """The send id of one message."""
    return min((shop.folder / "outbox").glob("*.eml")).stem


async def post(client, name, one: Post):
    url = f"/v1/feedback/{name}" + (f"?{one.query}" if one.query else "")
    return await client.post(url, content=one.body, headers=one.headers)


def told(shop):
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(
            text("SELECT provider, event_id, send_id, kind FROM feedback"))]  # fmt: skip


def dump(shop):
    tables = ("send", "outcome", "feedback", "suppression", "purse", "consent")
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        return [
            sorted(map(str, connection.execute(text(f"SELECT * FROM {one}")))) for one in tables
        ]


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in KINDS.items() for kind in kinds]
)
async def test_what_is_signed_is_recorded_once(client, shop, sent, name, kind):
    one = SIGNED[name](sent, kind, AT)
    first, again = await post(client, name, one), await post(client, name, one)
    assert (first.status_code, first.json()) == (202, {"recorded": 1, "known": 0, "strange": 0})
    assert (again.status_code, again.json()) == (202, {"recorded": 0, "known": 1, "strange": 0})
    ((provider, _, send_id, said),) = told(shop)
    assert (provider, send_id, said) == (name, sent, kind)
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


@pytest.mark.parametrize("version", ["1", "2"])
async def test_both_versions_of_amazons_signature_hold(client, shop, sent, version, fetched):
    for number in range(2):
        one = providers.sns(
            sent, "delivered", AT, version=version, event=f"e-{number}", Subject="x"
        )
        assert (await post(client, "ses", one)).json()["recorded"] == 1
    assert fetched == [PEM]


def spoiled(one: Post, **headers) -> Post:
    return replace(one, headers=one.headers | headers)


STRANGER = "whsec_" + "b" * 32
OLD = AT - timedelta(minutes=6)
AHEAD = AT + timedelta(minutes=6)
ELSEWHERE = [
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0a1b.pem",
    "https://evil.example/SimpleNotificationService-0a1b.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0a1b.pem",
    "https://sns.eu-west-1.amazonaws.com:444/SimpleNotificationService-0a1b.pem",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
    "https://bucket.s3.amazonaws.com/SimpleNotificationService-0a1b.pem",
    "https://sns.eu-west-1.amazonaws.com/../SimpleNotificationService-0a1b.pem",
    PEM + "?x",
    PEM + "\n",
]
ATTACKS = {
    "unsigned": ("push", lambda s: Post({}, providers.standard(s, "bounced", AT).body), 401),
    "unsigned-grid": ("grid", lambda s: Post({}, providers.sendgrid(s, "bounced", AT).body), 401),
    "unsigned-sms": ("sms", lambda s: replace(providers.twilio(s, "failed", AT), headers={}), 401),
    "wrong-key": ("push", lambda s: providers.standard(s, "bounced", AT, secret=STRANGER), 401),
    "wrong-key-grid": ("grid", lambda s: providers.sendgrid(
        s, "bounced", AT, key=ec.generate_private_key(ec.SECP256R1())), 401),
    "wrong-key-sms": ("sms", lambda s: providers.twilio(s, "failed", AT, secret="x" * 32), 401),
    "wrong-key-ses": ("ses", lambda s: providers.sns(s, "bounced", AT, key=ANOTHER), 401),
    "no-signature": ("push", lambda s: spoiled(
        providers.standard(s, "bounced", AT), **{"webhook-signature": "v1, v2,x"}), 401),
    "not-base64": ("grid", lambda s: spoiled(
        providers.sendgrid(s, "bounced", AT), **{"X-Twilio-Email-Event-Webhook-Signature": "?"}),
        401),
    "stale": ("push", lambda s: providers.standard(s, "bounced", OLD), 401),
    "stale-grid": ("grid", lambda s: providers.sendgrid(s, "bounced", OLD), 401),
    "stale-ses": ("ses", lambda s: providers.sns(s, "bounced", AT - timedelta(hours=2)), 401),
    "ahead": ("push", lambda s: providers.standard(s, "bounced", AT, stamp=AHEAD), 401),
    "another-time": ("push", lambda s: spoiled(
        providers.standard(s, "bounced", OLD),
        **{"webhook-timestamp": str(int(AT.timestamp()))}), 401),
    "another-id": ("push", lambda s: spoiled(
        providers.standard(s, "bounced", AT), **{"webhook-id": "msg_2"}), 401),
    "altered": ("push", lambda s: altered(providers.standard(s, "delivered", AT)), 401),
    "altered-grid": ("grid", lambda s: altered(providers.sendgrid(s, "delivered", AT)), 401),
    "altered-sms": ("sms", lambda s: altered(providers.twilio(s, "delivered", AT)), 401),
    "altered-ses": ("ses", lambda s: altered(providers.sns(s, "delivered", AT)), 401),
    "another-message": ("sms", lambda s: replace(
        providers.twilio("0" * 32, "failed", AT), query=f"send_id={s}"), 401),
    "another-address": ("sms", lambda s: providers.twilio(
        s, "failed", AT, url=CALLBACK.replace("shop", "other")), 401),
    "another-topic": ("ses", lambda s: providers.sns(
        s, "bounced", AT, TopicArn=TOPIC.replace("123456789012", "999999999999")), 403),
    "another-version": ("ses", lambda s: providers.sns(s, "bounced", AT, version="3"), 401),
    "no-json": ("ses", lambda s: Post({}, b"{"), 400),
    "no-type": ("ses", lambda s: providers.sns(s, "bounced", AT, Type="Other"), 400),
    "no-text": ("ses", lambda s: Post({}, json.dumps(
        json.loads(providers.sns(s, "bounced", AT).body) | {"Message": 1}).encode()), 400),
    "too-large": ("push", lambda s: Post({}, b"x" * (MOST_BYTES + 1)), 413),
    "no-provider": ("none", lambda s: providers.standard(s, "bounced", AT), 404),
    **{f"elsewhere-{n}": ("ses", lambda s, url=url: providers.sns(
        s, "bounced", AT, SigningCertURL=url), 401) for n, url in enumerate(ELSEWHERE)},
    "no-certificate": ("ses", lambda s: providers.sns(
        s, "bounced", AT, SigningCertURL=PEM.replace("0a1b", "none")), 503),
}  # fmt: skip


def altered(one: Post) -> Post:
    body = one.body.replace(b"elivered", b"ounced__").replace(b"Delivery", b"Complain")
    assert body != one.body
    return replace(one, body=body)


@pytest.mark.parametrize("name", ATTACKS)
async def test_what_is_not_proven_is_refused_and_writes_nothing(client, shop, sent, name):
    provider, make, status = ATTACKS[name]
    before = dump(shop)
    answer = await post(client, provider, make(sent))
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert dump(shop) == before


async def test_no_certificate_is_fetched_for_a_topic_or_a_host_that_is_not_ours(
    client, sent, fetched
):
    for url in ELSEWHERE:
        await post(client, "ses", providers.sns(sent, "bounced", AT, SigningCertURL=url))
    foreign = TOPIC.replace("123456789012", "999999999999")
    await post(client, "ses", providers.sns(sent, "bounced", AT, TopicArn=foreign))
    assert fetched == []


async def test_a_certificate_that_has_run_out_holds_nothing(client, shop, clock, sent):
    clock.turn(days=400)
    one = providers.sns(sent, "bounced", clock())
    assert (await post(client, "ses", one)).status_code == 401


@pytest.mark.parametrize("name", SIGNED)
async def test_a_message_that_is_none_of_ours_is_answered_202_and_writes_nothing(
    client, shop, name
):
    before = dump(shop)
    answer = await post(client, name, SIGNED[name]("0" * 32, "delivered", AT))
    assert (answer.status_code, answer.json()["strange"]) == (202, 1)
    assert dump(shop) == before


async def test_a_replay_within_the_time_changes_nothing(client, shop, sent, clock):
    one = providers.standard(sent, "bounced", AT)
    await post(client, "push", one)
    before = dump(shop)
    clock.turn(minutes=4)
    assert (await post(client, "push", one)).json()["known"] == 1
    clock.turn(minutes=4)
    assert (await post(client, "push", one)).status_code == 401
    assert dump(shop) == before


async def test_a_topic_to_be_confirmed_is_told_and_not_followed(client, sent, fetched, caplog):
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    one = providers.sns(sent, "", AT, Type="SubscriptionConfirmation", Token="t", SubscribeURL=url)
    assert (await post(client, "ses", one)).json() == {"recorded": 0, "known": 0, "strange": 0}
    assert url in caplog.text
    assert fetched == [PEM]


async def test_a_holiday_answer_is_no_bounce(client, shop, sent):
    message = {"notificationType": "Bounce", "bounce": {"bounceType": "Transient"}}
    one = providers.sns(sent, "", AT, Message=json.dumps(message))
    assert (await post(client, "ses", one)).json()["recorded"] == 0


async def test_while_a_secret_is_exchanged_both_hold(shop, sent):
    key = shop.folder / "push.key"
    key.write_text(f"{STRANGER}\n{WHSEC}\n")
    app = FastAPI()
    app.include_router(routes(shop))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://shop"
    ) as client:
        for event, secret in (("a", WHSEC), ("b", STRANGER)):
            one = providers.standard(sent, "delivered", AT, event=event, secret=secret)
            assert (await post(client, "push", one)).json()["recorded"] == 1


@pytest.mark.parametrize(
    ("told", "secret", "mode", "says"),
    [
        ({"scheme": "standard", "secret_file": "none"}, "", 0o600, "There is no file"),
        ({"scheme": "standard", "secret_file": "s"}, "", 0o600, "is empty"),
        ({"scheme": "standard", "secret_file": "s"}, WHSEC, 0o644, "chmod 600"),
        ({"scheme": "standard", "secret_file": "s"}, "?", 0o600, "not base64"),
        ({"scheme": "sendgrid", "secret_file": "s"}, "AAAA", 0o600, "no verification key"),
        ({"scheme": "twilio"}, "", 0o600, "needs secret_file"),
        ({"scheme": "sns"}, "", 0o600, "needs topics"),
    ],
)
def test_a_provider_that_is_not_set_up_whole_stops_the_start(shop, told, secret, mode, says):
    (shop.folder / "s").write_text(secret)
    (shop.folder / "s").chmod(mode)
    settings = CampaignSettings.model_validate({"feedback": {"one": told}})
    with pytest.raises(SettingsError, match=says):
        routes(replace(shop, settings=settings))
