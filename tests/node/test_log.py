"""Log lines: one for each record, whatever is in it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.log import FILTERS, configure_logging

PEERS_WORDS = "refused: busy\n2026-01-01 00:00:00.000 INFO node: all is well \x1b[2J\x9b"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)
    logging.getLogger("p2p").setLevel(logging.NOTSET)


def test_what_a_peer_says_stays_in_its_line(tmp_path: Path) -> None:
    configure_logging("", "text", tmp_path / "log")

    logging.getLogger("p2p").warning("Peer %s", PEERS_WORDS)

    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(
        r"p2p: Peer refused: busy\x0a2026-01-01 00:00:00.000 INFO node: all is well \x1b[2J\x9b"
    )


def test_a_traceback_keeps_its_lines(tmp_path: Path) -> None:
    configure_logging("", "text", tmp_path / "log")

    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("p2p").exception("An error of ours")

    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].endswith("ERROR   p2p: An error of ours")
    assert lines[1] == "Traceback (most recent call last):"


def test_a_line_of_json_is_one_object(tmp_path: Path) -> None:
    configure_logging("warn,p2p=debug", "json", tmp_path / "log")

    logging.getLogger("p2p").debug("Peer %s", PEERS_WORDS)
    logging.getLogger("node").info("not said")

    (line,) = (tmp_path / "log").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["target"], entry["msg"]) == ("p2p", f"Peer {PEERS_WORDS}")


def test_a_filter_with_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="'p2p=loud': level must be one of error, warn"):
        configure_logging("p2p=loud", "text", None)


def test_a_full_file_is_begun_anew_and_the_latest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.log.LOG_BYTES_MAX", 1_000)
    configure_logging("", "text", tmp_path / "log")

    for number in range(100):
        logging.getLogger("node").info("Line %d of a hundred", number)

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1", "log.2", "log.3"]
    assert all(file.stat().st_size <= 1_000 for file in files)
    assert "Line 99 of" in files[0].read_text()


def levels(*targets: str) -> list[int]:
    return [logging.getLogger(target).getEffectiveLevel() for target in targets]


def test_filters_change_while_the_process_runs_and_go_back_to_those_of_the_start(
    tmp_path: Path,
) -> None:
    configure_logging("warn,p2p=debug", "text", tmp_path / "log")

    FILTERS.add("rpc=debug,p2p=error")
    assert levels("", "p2p", "rpc") == [logging.WARNING, logging.ERROR, logging.DEBUG]
    FILTERS.add("info")
    assert levels("", "rpc") == [logging.INFO, logging.DEBUG]
    FILTERS.reset()

    assert levels("", "p2p", "rpc") == [logging.WARNING, logging.DEBUG, logging.WARNING]


def test_a_wrong_filter_changes_nothing_and_targets_are_bounded(tmp_path: Path) -> None:
    configure_logging("", "text", tmp_path / "log")

    with pytest.raises(ValueError, match="'p2p=loud': level must be one of error, warn"):
        FILTERS.add("rpc=debug,p2p=loud")
    with pytest.raises(ValueError, match="65 targets, at most 64"):
        FILTERS.add(",".join(f"target{number}=debug" for number in range(65)))

    assert levels("rpc", "p2p", "target0") == [logging.INFO] * 3
