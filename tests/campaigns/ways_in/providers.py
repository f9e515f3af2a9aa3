"""Providers as they are: each signs what it sends with a key of its own."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ours"
PEM = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem"
CALLBACK = "https://shop.example/v1/feedback/sms"
WHSEC = "whsec_" + base64.b64encode(b"k" * 24).decode()
TWILIO = "12345678901234567890123456789012"
SENDGRID = ec.generate_private_key(ec.SECP256R1())
AMAZON = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ANOTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Post:
    """One request."""

    headers: dict[str, str]
    body: bytes
    query: str = ""


def standard(send_id, kind, at, *, event="msg_1", secret=WHSEC, stamp=None):
    stamp = str(int((stamp or at).timestamp()))
    said = {"type": f"message.{kind}", "timestamp": at.isoformat(), "data": {"send_id": send_id}}
    body = json.dumps(said).encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{event}.{stamp}.".encode() + body, hashlib.sha256)
    signature = f"v1,AAAA v1,{base64.b64encode(mac).decode()}"
    return Post({"webhook-id": event, "webhook-timestamp": stamp, "webhook-signature": signature},
                body)  # fmt: skip


SENDGRID_EVENTS = {
    "delivered": {"event": "delivered"},
    "bounced": {"event": "bounce", "type": "bounce"},
    "failed": {"event": "bounce", "type": "blocked"},
    "complained": {"event": "spamreport"},
    "unsubscribed": {"event": "group_unsubscribe"},
}


def sendgrid(send_id, kind, at, *, event="sg_1", key=SENDGRID, stamp=None):
    said = SENDGRID_EVENTS[kind] | {
        "email": "ann@example.invalid",
        "timestamp": int(at.timestamp()),
        "smtp-id": f"<{send_id}@example.invalid>",
        "sg_event_id": event,
    }
    body = json.dumps([{"event": "open", "sg_event_id": "x"}, said]).encode()
    stamp = str(int((stamp or at).timestamp()))
    mac = key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    prefix = "X-Twilio-Email-Event-Webhook-"
    signed = {f"{prefix}Signature": base64.b64encode(mac).decode(), f"{prefix}Timestamp": stamp}
    return Post(signed, body)


TWILIO_EVENTS = {
    "delivered": {"MessageStatus": "delivered"},
    "failed": {"MessageStatus": "undelivered", "ErrorCode": "30003"},
    "unregistered": {"MessageStatus": "undelivered", "ErrorCode": "30005"},
    "unsubscribed": {"MessageStatus": "failed", "ErrorCode": "21610"},
}


def twilio(send_id, kind, at, *, event="SM1", secret=TWILIO, url=CALLBACK):
    said = TWILIO_EVENTS[kind] | {"MessageSid": event, "To": "+4915112345678"}
    query = urlencode({"send_id": send_id})
    signed = f"{url}?{query}" + "".join(name + said[name] for name in sorted(said))
    mac = base64.b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha1)).decode()
    return Post({"X-Twilio-Signature": mac}, urlencode(said).encode(), query)


SES_EVENTS = {
    "delivered": {"notificationType": "Delivery"},
    "bounced": {"eventType": "Bounce", "bounce": {"bounceType": "Permanent"}},
    "complained": {"notificationType": "Complaint"},
    "failed": {"eventType": "Reject"},
}


def sns(send_id, kind, at, *, event="e-1", key=AMAZON, version="2", **changes):
    """changes: fields of the notification, before it is signed."""
    link = f"<https://shop.example/u/{send_id}.abc>, <mailto:x@y.example>"
    mail = {"headers": [{"name": "Message-ID", "value": "<x@eu-west-1.amazonses.com>"},
                        {"name": "List-Unsubscribe", "value": link}]}  # fmt: skip
    said = {
        "Type": "Notification",
        "MessageId": event,
        "TopicArn": TOPIC,
        "Message": json.dumps(SES_EVENTS.get(kind, {}) | {"mail": mail}),
        "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": version,
        "SigningCertURL": PEM,
    } | changes
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn",
             "Type"]  # fmt: skip
    signed = "".join(f"{name}\n{said[name]}\n" for name in names if name in said)
    by = hashes.SHA1() if version == "1" else hashes.SHA256()
    mac = key.sign(signed.encode(), padding.PKCS1v15(), by)
    said["Signature"] = base64.b64encode(mac).decode()
    return Post({"Content-Type": "text/plain"}, json.dumps(said).encode())


def certificate(now: datetime, key=AMAZON):
    """What lies at Amazon's address."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def verification_key(key=SENDGRID):
    """As SendGrid shows it."""
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()
