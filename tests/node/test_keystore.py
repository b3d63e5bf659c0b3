"""Key files as Substrate names them, and the refusals of what cannot be trusted."""

from pathlib import Path

import pytest

from node.errors import ConfigInvalid, StorageUnusable
from node.keystore import Keystore, parse_node_key, read_secret_file, write_private

ALICE_AURA = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"


def test_a_key_is_found_again_under_substrates_file_name(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    Keystore(path).insert("aura", "//Alice")

    found = Keystore(path)

    assert [file.name for file in path.iterdir()] == ["61757261" + ALICE_AURA]
    assert (path / ("61757261" + ALICE_AURA)).read_text() == '"//Alice"'
    assert found.publics("aura") == [bytes.fromhex(ALICE_AURA)]
    assert found.publics("gran") == []


def test_rotated_keys_are_stored(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "keys")

    keys = keystore.rotate()

    assert len(keys) == 64
    assert keystore.rotate() != keys
    for opened in (keystore, Keystore(tmp_path / "keys")):
        assert opened.get("aura", keys[:32]) is not None
        assert opened.get("gran", keys[32:]) is not None
        assert opened.get("aura", keys[32:]) is None


def test_a_held_key_is_not_written(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "keystore")
    keystore.hold("gran", "//Bob")

    assert len(keystore.publics("gran")) == 1
    assert Keystore(tmp_path / "keystore").publics("gran") == []


@pytest.mark.slow
def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    Keystore(path, "secret").insert("aura", "//Alice")

    assert Keystore(path, "secret").publics("aura") == [bytes.fromhex(ALICE_AURA)]
    assert "Alice" not in next(path.iterdir()).read_text()
    with pytest.raises(StorageUnusable, match="no password was given"):
        Keystore(path)
    with pytest.raises(StorageUnusable, match="cannot be read"):
        Keystore(path, "wrong")


def test_files_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    Keystore(path).insert("aura", "//Alice")
    path.chmod(0o755)

    with pytest.raises(StorageUnusable, match="chmod 700"):
        Keystore(path)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "keystore").write_text("")

    with pytest.raises(StorageUnusable, match="keystore cannot be used: File exists"):
        Keystore(tmp_path / "keystore")


def test_a_folder_in_the_place_of_a_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    Keystore(path)
    (path / ("61757261" + ALICE_AURA)).mkdir(mode=0o700)

    with pytest.raises(StorageUnusable, match=f"{ALICE_AURA} cannot be read"):
        Keystore(path)


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(" //Alice \nnothing of this\n")

    assert read_secret_file(path, "--suri-file") == "//Alice"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"\xff", "cannot be read"), (b"\nsecret", "first line is empty")],
)
def test_a_file_without_a_secret_is_named_with_its_flag(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigInvalid, match=f"--password-filename .*{message}"):
        read_secret_file(path, "--password-filename")


@pytest.mark.parametrize("content", ["", "{}", '"no phrase at all"', "[1]"])
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keystore"
    Keystore(path)
    write_private(path / ("61757261" + ALICE_AURA), content.encode())

    with pytest.raises(StorageUnusable, match=ALICE_AURA):
        Keystore(path)


def test_a_file_with_another_key_than_its_name_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    Keystore(path)
    write_private(path / ("61757261" + ALICE_AURA), b'"//Bob"')

    with pytest.raises(StorageUnusable, match="named after"):
        Keystore(path)


def test_a_private_file_is_whole_and_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"one")
    write_private(path, b"two")

    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_node_key_is_32_bytes_of_hex() -> None:
    assert parse_node_key("0x" + "ab" * 32) == b"\xab" * 32
    with pytest.raises(ValueError, match="32 bytes"):
        parse_node_key("ab")
