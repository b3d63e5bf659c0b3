"""Chain specification files: what is read back, and what is refused with field and reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from devnet.scenario import dev_chain_spec
from node.chain_spec import load_chain_spec, parse_chain_spec
from node.errors import ConfigInvalid


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(dev_chain_spec().encode())
    return parsed


def test_what_is_written_is_read_back(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(content))

    assert json.loads(load_chain_spec(path).encode()) == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "expected an object, found list"),
        ("{}", "field 'name': expected str, found nothing"),
    ],
)
def test_a_file_that_is_no_specification_is_refused(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "spec.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigInvalid, match=message):
        load_chain_spec(path)


def test_a_file_without_an_end_is_refused_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chain_spec.FILE_BYTES_MAX", 1_000)

    with pytest.raises(ConfigInvalid, match="/dev/zero has more than 1000 bytes"):
        load_chain_spec(Path("/dev/zero"))


def test_constants_that_do_not_fit_the_runtime_are_named(content: dict[str, Any]) -> None:
    constants = {**content["constants"], "colour": 1}
    del constants["slot_duration_ms"]
    spec = parse_chain_spec({**content, "constants": constants}, "here")

    with pytest.raises(
        ConfigInvalid, match=r"unknown \['colour'\], missing \['slot_duration_ms'\]"
    ):
        spec.runtime()


def test_a_genesis_section_that_is_wrong_is_refused(content: dict[str, Any]) -> None:
    genesis = {**content["genesis"], "balances": {"accounts": {"5nonsense": 1}}}
    spec = parse_chain_spec({**content, "genesis": genesis}, "here")

    with pytest.raises(ConfigInvalid, match="genesis of chain"):
        spec.genesis_storage(spec.runtime())


def test_a_checkpoint_is_kept_and_a_wrong_one_is_refused(content: dict[str, Any]) -> None:
    wanted = {"number": 7, "hash": "0x" + "ab" * 32}

    spec = parse_chain_spec({**content, "checkpoint": wanted}, "x")

    assert spec.checkpoint == (7, b"\xab" * 32)
    assert json.loads(spec.encode())["checkpoint"] == wanted
    for wrong in (7, {"number": 7}, {"number": 0, "hash": wanted["hash"]}):
        with pytest.raises(ConfigInvalid, match="'checkpoint': expected"):
            parse_chain_spec({**content, "checkpoint": wrong}, "x")
