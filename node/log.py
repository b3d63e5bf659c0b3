"""Log lines as Substrate's: one line each, time, target, message; or one JSON object each.

Keys and seeds are never logged. A broken log file must not stop a validator: handlers swallow
their own I/O errors, as the standard library does when `logging.raiseExceptions` is off.
"""

import json
import logging
import logging.handlers
import sys
import time
from pathlib import Path

LOG_BYTES_MAX = 32 << 20  # some weeks of a node at level info
LOGS_KEPT = 3  # beside the current one: what a file may take of a disk is bounded

TARGETS_MAX = 64  # named in filters at run time: Python never forgets a logger

LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": record.created,
            "level": record.levelname.lower(),
            "target": record.name,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry)


# Peers' words are logged too: they must not begin a line of their own, nor command a terminal.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


class _TextFormatter(logging.Formatter):
    default_msec_format = "%s.%03d"
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback."""
        return super().formatMessage(record).translate(_ESCAPED)


def configure_logging(filters: str, log_format: str, log_file: Path | None) -> None:
    """Set up logging for a process.

    `filters` is Substrate's syntax, cut to what Python's loggers know: `info` or
    `warn,p2p=debug`. A log file is begun anew when it is full, and the latest are kept.
    Raises ValueError naming the part that is wrong.
    """
    handler: logging.Handler = (
        logging.handlers.RotatingFileHandler(
            log_file, maxBytes=LOG_BYTES_MAX, backupCount=LOGS_KEPT, encoding="utf-8"
        )
        if log_file is not None
        else logging.StreamHandler(sys.stderr)
    )
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    FILTERS.begin(filters)


class _Filters:
    """Which targets log from which level on; can be changed while the process runs."""

    def __init__(self) -> None:
        self._at_start = ""
        self._named: set[str] = set()

    def begin(self, filters: str) -> None:
        """Take the filters of the start. Raises ValueError naming the part that is wrong."""
        parsed = parse_filters(filters)
        self._at_start = filters
        self._clear()
        self._apply(parsed)

    def add(self, filters: str) -> None:
        """Change some targets. Raises ValueError; then nothing has changed."""
        parsed = parse_filters(filters)
        named = self._named | {target for target, _ in parsed}
        if len(named) > TARGETS_MAX:
            raise ValueError(f"log filters of {len(named)} targets, at most {TARGETS_MAX}")
        self._apply(parsed)

    def reset(self) -> None:
        """Go back to the filters of the start."""
        self._clear()
        self._apply(parse_filters(self._at_start))

    def _clear(self) -> None:
        for target in self._named:
            logging.getLogger(target).setLevel(logging.NOTSET)
        self._named.clear()
        logging.getLogger().setLevel(logging.INFO)

    def _apply(self, parsed: list[tuple[str, int]]) -> None:
        for target, level in parsed:
            logging.getLogger(target or None).setLevel(level)
            if target:
                self._named.add(target)


FILTERS = _Filters()


def parse_filters(filters: str) -> list[tuple[str, int]]:
    """Targets and levels; the empty target is all. Raises ValueError naming the wrong part."""
    parsed: list[tuple[str, int]] = []
    for part in filter(None, (piece.strip() for piece in filters.split(","))):
        target, _, level = part.rpartition("=")
        if level not in LEVELS:
            raise ValueError(f"log filter {part!r}: level must be one of {', '.join(LEVELS)}")
        parsed.append((target, LEVELS[level]))
    return parsed
