"""Signatures that only the provider's private key makes: RSA and ECDSA."""

import base64
import binascii
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from campaigns.ways_in.feedback.received import forged
from recsys.errors import SettingsError


def check_ecdsa(keys: tuple[str, ...], signature: str, signed: bytes) -> None:
    """401 unless one of the public keys (base64 of their DER form) made it, over SHA-256."""
    given = _bytes(signature)
    for text in keys:
        try:
            ecdsa_key(text).verify(given, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        return
    raise forged()


def ecdsa_key(text: str) -> ec.EllipticCurvePublicKey:
    """The public key that a provider shows; SettingsError for anything else."""
    try:
        key = serialization.load_der_public_key(base64.b64decode(text, validate=True))
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise SettingsError(
            "A key of scheme sendgrid is no verification key; copy it whole from the provider"
        )
    return key


def check_rsa(
    certificate: bytes, signature: str, signed: bytes, *, v1: bool, now: datetime
) -> None:
    """401 unless the certificate (PEM) holds now and its key made it, over SHA-256 (v1: SHA-1)."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise forged() from None
    key = found.public_key()
    holds = found.not_valid_before_utc <= now <= found.not_valid_after_utc
    if not holds or not isinstance(key, rsa.RSAPublicKey):
        raise forged()
    # SHA-1 is what version 1 of the provider's scheme is signed with.
    by = hashes.SHA1() if v1 else hashes.SHA256()
    try:
        key.verify(_bytes(signature), signed, padding.PKCS1v15(), by)
    except InvalidSignature:
        raise forged() from None


def _bytes(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise forged() from None
