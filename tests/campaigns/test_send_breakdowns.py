"""What a run needs goes away in the middle of it: the ledger's time, the disk, the database."""

import errno
import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from campaigns.channels import outbox
from campaigns.channels.outbox import Outbox
from campaigns.ledger import claims
from campaigns.ledger.batch import Batch
from campaigns.ledger.ledger import wake
from campaigns.run import plan_campaign, plan_renderer, send_plan
from campaigns.send import send
from campaigns.verify import verify
from recsys.errors import LedgerError, StaleInstantError
from tests.campaigns.kit import MEMBERS, NOW, Clock, composition, definition, over

RECEIVERS = {f"{member}@example.invalid": 1 for member in MEMBERS[:-1]}
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shop(tmp_path):
    return composition(tmp_path, Clock())


def receivers(shop):
    mails = [message_from_bytes(f.read_bytes()) for f in (shop.folder / "outbox").glob("*.eml")]
    return Counter(mail["To"] for mail in mails)


def breaches(shop):
    with shop.open_ledger() as ledger:
        return verify(ledger).breaches


def send_by(shop, plan, now):
    with shop.open_ledger() as ledger:
        return send(
            plan,
            ledger,
            Outbox(shop.folder / "outbox", shop.settings.sender),
            render=plan_renderer(shop, plan, ledger),
            settings=shop.settings,
            now=now,
            rng=np.random.default_rng(1),
        )


def test_a_run_that_waited_for_the_ledger_reads_the_clock_again(shop):
    plan, _ = plan_campaign(shop, definition())
    with shop.open_ledger() as ledger:
        wake(ledger, now=NOW + MINUTE, max_idle_days=35)
    # Its first look at the clock was long ago when the others let go of the ledger.
    times = itertools.chain([NOW, NOW], itertools.repeat(NOW + MINUTE))
    assert send_by(shop, plan, lambda: next(times)).done
    assert receivers(shop) == RECEIVERS


def test_a_clock_that_stays_behind_the_ledger_is_told_of(shop):
    plan, _ = plan_campaign(shop, definition())
    with shop.open_ledger() as ledger:
        wake(ledger, now=NOW + MINUTE, max_idle_days=35)
    with pytest.raises(StaleInstantError, match="Set the clock right"):
        send_by(shop, plan, lambda: NOW)
    assert receivers(shop) == {}


def test_a_disk_that_fills_under_four_senders_loses_and_doubles_nothing(shop, monkeypatch):
    shop = replace(shop, settings=shop.settings.model_copy(update={"in_flight": 2}))
    plan, _ = plan_campaign(shop, definition())
    real, room = outbox.write_whole, itertools.count(1)

    def write(path, content):
        if next(room) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "write_whole", write)
        with ThreadPoolExecutor(4) as senders:
            runs = [senders.submit(send_plan, shop, plan.plan_id) for _ in range(4)]
        broke = [run.exception() for run in runs if run.exception() is not None]
    assert broke
    assert all(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in broke), broke
    assert len(receivers(shop)) == 3
    assert breaches(shop) == ()
    report = send_plan(shop, plan.plan_id)
    assert report.done
    assert report.outcomes == {"accepted": 7, "skipped: no_consent": 1}
    assert receivers(shop) == RECEIVERS
    assert breaches(shop) == ()


@pytest.mark.postgres
@pytest.mark.parametrize("when", ["claim", "settle"])
def test_a_database_that_goes_away_ends_the_run_and_the_next_one_finishes(
    shop, postgres_url, when, monkeypatch
):
    shop = over(shop, postgres_url)
    plan, _ = plan_campaign(shop, definition())
    real_write, real_ends = Batch.write, claims.write_ends

    def cut(connection):
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other = create_engine(postgres_url)
        with other.begin() as another:
            another.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        other.dispose()

    def write(batch):
        real_write(batch)
        cut(batch.connection)

    def ends(connection, ones):
        done = real_ends(connection, ones)
        if ones:
            cut(connection)
        return done

    with monkeypatch.context() as patch:
        if when == "claim":
            patch.setattr(Batch, "write", write)
        else:
            patch.setattr("campaigns.ledger.settling.write_ends", ends)
        with pytest.raises(LedgerError, match="only the remainder is done"):
            send_plan(shop, plan.plan_id)
    assert receivers(shop) == ({} if when == "claim" else RECEIVERS)
    report = send_plan(shop, plan.plan_id)
    assert report.done
    assert report.outcomes == {"accepted": 7, "skipped: no_consent": 1}
    assert receivers(shop) == RECEIVERS
    assert breaches(shop) == ()
