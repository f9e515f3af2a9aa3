"""A running service takes a change of keys up within a second, and never opens by mishap."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

import commands
from recsys.errors import AccessError, SettingsError
from serving.doors import keys, tokens
from serving.doors.door import check_address
from serving.doors.watch import LOOK_SECONDS, Watch
from tests.serving.doors.shop import ANN, bearer, behind_doors, opened
from tests.serving.live import NOW, RECOMMENDATIONS

AT = datetime(2026, 1, 2, tzinfo=UTC)
WITHIN = 1.0


def test_a_look_is_taken_at_a_bounded_rate(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    assert watch.held(0).is_open
    key, _ = keys.add(tmp_path, "server", name="", now=AT)
    assert watch.held(LOOK_SECONDS - 0.01).is_open
    assert not watch.held(LOOK_SECONDS).is_open
    keys.revoke(tmp_path, key.id, now=AT)
    assert key.id in watch.held(LOOK_SECONDS + 0.01).keys
    assert key.id not in watch.held(LOOK_SECONDS + 0.01, at_once=True).keys


def test_revoking_the_last_key_leaves_the_doors_shut(tmp_path: Path) -> None:
    key, _ = keys.add(tmp_path, "server", name="", now=AT)
    keys.revoke(tmp_path, key.id, now=AT)
    held = Watch(tmp_path).held(0)
    assert (dict(held.keys), held.is_open) == ({}, False)


def test_a_file_that_vanishes_shuts_and_does_not_open(tmp_path: Path) -> None:
    keys.add(tmp_path, "server", name="", now=AT)
    watch = Watch(tmp_path)
    (tmp_path / keys.FILE).unlink()
    held = watch.held(10)
    assert (dict(held.keys), held.is_open) == ({}, False)


@pytest.mark.parametrize("damage", ["[", "[]x", '{"a": 1}'])
def test_a_damaged_file_changes_nothing_and_is_logged(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = keys.add(tmp_path, "server", name="", now=AT)
    watch = Watch(tmp_path)
    (tmp_path / keys.FILE).write_text(damage)
    assert key.id in watch.held(10).keys
    assert key.id in watch.held(20).keys
    assert len(caplog.records) == 1
    with pytest.raises(AccessError, match="damaged"):
        Watch(tmp_path)


@pytest.mark.anyio
async def test_a_running_service_takes_keys_up_and_drops_them(
    small_model: Path, tmp_path: Path
) -> None:
    async with behind_doors(small_model, tmp_path / "home") as shop:
        old = keys.read(shop.folder)[0]
        token = await shop.token(member_id=ANN)
        # rotation: add, deploy, revoke
        _, new = keys.add(shop.folder, "server", name="new", now=NOW)
        for text in (shop.server, new):
            assert (await shop.get(RECOMMENDATIONS, text)).status_code == 200, "at once"
        keys.revoke(shop.folder, old.id, now=NOW)
        await asyncio.sleep(WITHIN)
        assert (await shop.get(RECOMMENDATIONS, new)).status_code == 200
        assert (await shop.get(RECOMMENDATIONS, shop.server)).status_code == 401
        answer = await shop.get(RECOMMENDATIONS, token)
        assert answer.status_code == 401, "the tokens that a revoked key made end with it"
        assert (await shop.get(RECOMMENDATIONS, await shop.token(new, member_id=ANN))).is_success


@pytest.mark.anyio
async def test_signing_secrets_rotate_with_two_that_open(small_model: Path, tmp_path: Path) -> None:
    async with behind_doors(small_model, tmp_path / "home") as shop:
        first = await shop.token(member_id=ANN)
        tokens.renew(shop.folder, now=NOW)
        second = await shop.token(member_id=ANN)
        assert first.split(".")[1] != second.split(".")[1]
        assert [(await shop.get(RECOMMENDATIONS, one)).status_code for one in (first, second)] == [
            200,
            200,
        ]
        tokens.renew(shop.folder, now=NOW)
        await asyncio.sleep(WITHIN)
        assert [(await shop.get(RECOMMENDATIONS, one)).status_code for one in (first, second)] == [
            401,
            200,
        ]


@pytest.mark.anyio
async def test_a_fresh_folder_is_open_until_the_first_key(
    small_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(small_model, tmp_path) as (client, _):
        assert "the doors are open" in caplog.text
        mine = {"member_id": ANN}
        assert (await client.get(RECOMMENDATIONS, params=mine)).status_code == 200
        foreign = await client.get(RECOMMENDATIONS, headers={"Authorization": "Basic eDp5"})
        assert foreign.status_code == 200
        made = await client.post("/v1/tokens", json=mine)
        tried = bearer(made.json()["token"])
        assert (await client.get("/v1/coupons", headers=tried)).status_code == 200
        assert (
            await client.get("/v1/coupons", headers=tried, params={"member_id": "x"})
        ).status_code == 403
        keys.add(tmp_path, "publishable", name="", now=NOW)
        await asyncio.sleep(WITHIN)
        assert (await client.get(RECOMMENDATIONS, params=mine)).status_code == 401
        assert (await client.get("/v1/coupons", headers=tried)).status_code == 401


def test_open_doors_are_for_this_machine_alone(tmp_path: Path) -> None:
    check_address("127.0.0.1", tmp_path)
    with pytest.raises(SettingsError, match="guesslike keys add --kind server"):
        check_address("0.0.0.0", tmp_path)
    keys.add(tmp_path, "server", name="", now=AT)
    check_address("0.0.0.0", tmp_path)
    with pytest.raises(SettingsError, match=r"open: leave GUESSLIKE_SERVING__HOST at 127\.0\.0\.1"):
        check_address("0.0.0.0", None)


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_another_address_is_refused_at_once_without_a_key(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUESSLIKE_HOME", str(tmp_path))
    monkeypatch.setenv("GUESSLIKE_SERVING__HOST", "0.0.0.0")
    result = CliRunner().invoke(commands.app, [command])
    assert isinstance(result.exception, SettingsError)
    assert "0.0.0.0 can be reached from other machines" in str(result.exception)
