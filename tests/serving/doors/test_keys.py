"""Keys are kept as hashes, change by whole files, and several open at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import commands
from recsys.errors import AccessError
from serving.doors import keys

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def valid(folder: Path) -> dict[str, keys.Key]:
    return {key.id: key for key in keys.read(folder)}


@pytest.mark.parametrize("kind", ["server", "publishable"])
def test_a_key_is_found_by_its_text_and_nowhere_in_the_folder(
    tmp_path: Path, kind: keys.Kind
) -> None:
    key, text = keys.add(tmp_path, kind, name="shop", now=NOW)
    assert keys.find(text, valid(tmp_path)) == key
    secret = text.rpartition("_")[2].encode()
    assert len(secret) == 64
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert secret not in written
    assert secret[:16] not in written
    assert bytes.fromhex(secret.decode()) not in written


def test_only_the_owner_can_read_them_and_nothing_else_is_left(tmp_path: Path) -> None:
    keys.add(tmp_path, "server", name="", now=NOW)
    assert (tmp_path / keys.FILE).stat().st_mode & 0o777 == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {keys.FILE, "keys.lock"}


def test_two_open_at_once_until_one_is_revoked_for_good(tmp_path: Path) -> None:
    old, old_text = keys.add(tmp_path, "server", name="old", now=NOW)
    new, new_text = keys.add(tmp_path, "server", name="new", now=NOW)
    assert [keys.find(text, valid(tmp_path)) for text in (old_text, new_text)] == [old, new]
    revoked = keys.revoke(tmp_path, old.id, now=NOW)
    assert keys.revoke(tmp_path, old.id, now=datetime.now(UTC)) == revoked
    assert [keys.find(text, valid(tmp_path)) for text in (old_text, new_text)] == [None, new]


@given(at=st.integers(0, 80), other=st.characters())
def test_no_edited_key_opens(tmp_path_factory: pytest.TempPathFactory, at: int, other: str) -> None:
    folder = tmp_path_factory.mktemp("keys")
    _, text = keys.add(folder, "server", name="", now=NOW)
    at = at % len(text)
    edited = text[:at] + other + text[at + 1 :]
    if edited != text:
        assert keys.find(edited, valid(folder)) is None
    assert keys.find(text[:at], valid(folder)) is None
    assert keys.find(text + other, valid(folder)) is None


def test_a_publishable_key_cannot_be_dressed_up_as_a_server_key(tmp_path: Path) -> None:
    _, text = keys.add(tmp_path, "publishable", name="", now=NOW)
    assert keys.find(text.replace("glp_", "gls_"), valid(tmp_path)) is None


def test_an_unknown_id_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="there is no key 'abc'; guesslike keys list"):
        keys.revoke(tmp_path, "abc", now=NOW)


@pytest.mark.parametrize("text", ["", "{}", '[{"id": 1}]', "[", "null\x00"])
def test_a_damaged_file_is_an_error_with_a_mend(tmp_path: Path, text: str) -> None:
    (tmp_path / keys.FILE).write_text(text)
    (tmp_path / keys.FILE).chmod(0o600)
    with pytest.raises(AccessError, match="damaged"):
        keys.read(tmp_path)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys.add(tmp_path, "server", name="", now=NOW)
    (tmp_path / keys.FILE).chmod(0o644)
    with pytest.raises(AccessError, match="chmod 600"):
        keys.read(tmp_path)


def test_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda at: keys.add(tmp_path, "server", name=str(at), now=NOW), range(16))
        )
    assert {key.id for key, _ in made} == set(valid(tmp_path))


def test_the_commands_make_list_revoke_and_renew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUESSLIKE_HOME", str(tmp_path))

    def said(*words: str) -> str:
        result = CliRunner().invoke(commands.app, ["keys", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "open" in said("list")
    text = said("add", "--kind", "server", "--name", "the shop").strip()
    (known,) = json.loads(said("list", "--json"))["keys"]
    assert text.startswith(f"gls_{known['id']}_")
    assert (known["name"], known["revoked"]) == ("the shop", None)
    assert text.rpartition("_")[2] not in said("list")
    assert known["id"] in said("revoke", known["id"])
    (known,) = json.loads(said("list", "--json"))["keys"]
    assert known["revoked"] is not None
    made = json.loads(said("add", "--kind", "publishable", "--json"))
    assert made["key"].startswith(f"glp_{made['id']}_")
    first = json.loads(said("renew-signing", "--json"))
    second = json.loads(said("renew-signing", "--json"))
    assert second["opening"] == [first["signing"], second["signing"]]
