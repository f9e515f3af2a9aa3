"""`guesslike demo`: all of it on a small shop, again and again, and once on the real year."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import httpx
import pytest

COMMAND = [sys.executable, "-m", "guesslike", "demo"]
CAMPAIGN = """\
campaign: spring
title: For you
starts_at: 2025-05-01T09:00:00Z
ends_at: 2025-05-03T09:00:00Z
audience: orders >= 2
coupons: {from_campaign: spring}
budget: 500
max_sends: 50
coupon_value: 0.1
margin_rate: 0.9
"""


def environment(home: Path, **settings: str) -> dict[str, str]:
    return {**os.environ, "GUESSLIKE_HOME": str(home), "COLUMNS": "100", **settings}


def demo(home: Path, *arguments: str, **settings: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(home, **settings), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def home(small_shop: Path, tmp_path: Path) -> Path:
    """Where a former run has left its dataset and an edited campaign."""
    folder = tmp_path / "home" / "demo"
    shutil.copytree(small_shop, folder / "dataset")
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    return folder.parent


def count(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, f"{pattern} is not in:\n{text}"
    return int(found[1].replace(",", ""))


@pytest.mark.slow
def test_a_second_run_starts_afresh(home: Path) -> None:
    first = demo(home, "--no-serve")
    sent = count(r"([\d,]+) sent now", first)
    assert 0 < sent <= 50
    files = {path.name for path in (home / "demo" / "outbox").glob("*.eml")}
    assert len(files) == sent

    second = demo(home, "--no-serve")
    assert "This very plan was made before" not in second
    assert count(r"([\d,]+) sent now", second) == sent
    again = {path.name for path in (home / "demo" / "outbox").glob("*.eml")}
    assert len(again) == sent
    assert not files & again  # another ledger's key gives other send ids
    assert (home / "demo" / "campaign.yaml").read_text() == CAMPAIGN


@pytest.mark.slow
def test_nothing_of_the_operators_own_is_touched(home: Path) -> None:
    (home / "ledger.db").write_text("mine")
    (home / "models").mkdir()
    demo(home, "--no-serve", GUESSLIKE_CAMPAIGNS__LEDGER_URL="postgresql://nobody@127.0.0.1:9/x",
         GUESSLIKE_CAMPAIGNS__CHANNELS='{"email": {"url": "smtp://127.0.0.1:9"}}',
         GUESSLIKE_SERVING__FEED_URL="redis://127.0.0.1:9/0")  # fmt: skip
    assert (home / "ledger.db").read_text() == "mine"
    assert list((home / "models").iterdir()) == []
    assert (home / "demo" / "ledger.db").exists()
    assert any((home / "demo" / "outbox").glob("*.eml"))


@pytest.mark.slow
def test_the_shop_opens_where_the_screen_says_and_closes_quietly(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:  # the configured port is another's
        port = str(busy.getsockname()[1])
        settings = environment(home, GUESSLIKE_SERVING__PORT=port, PYTHONUNBUFFERED="1")
        with subprocess.Popen(
            COMMAND, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            lines = iter(run.stdout.readline, "")
            address = next(line.split()[-1] for line in lines if "The shop is open" in line)
            page = httpx.get(address, follow_redirects=True)
            people = httpx.get(f"{address}shop/members").json()["members"]
            other = subprocess.run(
                [*COMMAND, "--no-serve"], env=settings, capture_output=True, text=True, check=False
            )
            run.send_signal(signal.SIGINT)
            _, complaints = run.communicate(timeout=30)
    assert "猜你喜欢" in page.text
    assert {one["note"] for one in people} > {"sent a coupon today"}
    assert other.returncode == 2
    assert "another demo holds" in other.stderr
    assert run.returncode == 0
    assert "Traceback" not in complaints


@pytest.mark.slow
def test_the_real_year_goes_from_import_to_proof(tmp_path: Path) -> None:
    # one window to learn the blend from in place of four: the words are the same, a minute sooner
    text = demo(tmp_path, "--no-serve", GUESSLIKE_TRAINING__WINDOWS="1")
    assert "1,469,307 events" in text
    assert "2,469 members" in text
    ours, own, best = (
        float(share)
        for share in re.search(
            r"([\d.]+)% stood .* most bought: ([\d.]+)%.* best sellers: ([\d.]+)%", text
        ).groups()  # type: ignore[union-attr]
    )
    assert best < own < ours
    assert "02 January 2018, 09:00 UTC" in text
    assert "This consent is synthetic" in text
    for assumed in ("margin_rate", "coupon_value", "redemption_rate", "incremental_share"):
        assert assumed in text
    sent = count(r"([\d,]+) sent now", text)
    assert 0 < sent <= 800  # the campaign caps it; how many are worth it, the model says
    left_out = sum(
        int(members.replace(",", ""))
        for why in ("have no coupon", "have not consented", "are beyond", "are held out")
        for members in re.findall(rf"([\d,]+) members {why}", text)
    )
    files = sorted((tmp_path / "demo" / "outbox").glob("*.eml"))
    assert len(files) == sent
    assert sent + left_out == count(r": ([\d,]+) of 2,469 members", text)
    message = message_from_bytes(files[0].read_bytes(), policy=default)
    assert str(message["To"]).endswith("@example.invalid")
    assert "Kept:" in text
    assert count(r"([\d,]+) pushes to", text) == sent
