"""A shop to measure, before its plan and after the sending."""

import shutil

import pytest

from tests.campaigns.kit import Clock
from tests.campaigns.lift.kit import (
    MEMBERS,
    SENT,
    lift_shop,
    planned_and_sent,
    reopened,
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    """On both databases."""
    return lift_shop(tmp_path, clock, ledger_url, members=MEMBERS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folders of a shop, before its plan and after the sending: copied, for both take seconds."""
    consented, clock = tmp_path_factory.mktemp("consented"), Clock()
    lift_shop(consented, clock, members=MEMBERS)
    sent = tmp_path_factory.mktemp("sent") / "shop"
    shutil.copytree(consented, sent)
    planned_and_sent(reopened(sent, clock, members=MEMBERS), clock)
    shutil.rmtree(sent / "outbox")
    return {"consented": consented, "sent": sent}


@pytest.fixture
def file_shop(tmp_path, clock, prepared):
    shutil.copytree(prepared["consented"], tmp_path, dirs_exist_ok=True)
    return reopened(tmp_path, clock, members=MEMBERS)


@pytest.fixture
def sent(tmp_path, clock, prepared):
    """Half are held out; the others were sent to at SENT, which it is now."""
    shutil.copytree(prepared["sent"], tmp_path, dirs_exist_ok=True)
    clock.instant = SENT
    return reopened(tmp_path, clock, members=MEMBERS)
