"""Log: one line of JSON for each request and for each error, without any secret.

Of an address only the path is written: a query may hold a token.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from graphengine.server.veil import Veil

REQUESTS = logging.getLogger("graphengine.requests")
ERRORS = logging.getLogger("graphengine.server")
SIZE, FILES = 10 << 20, 5
"""Bytes of a log file, and how many older ones stay."""


class Lines(logging.Formatter):
    """A record as one line of JSON; `fields` of the record stand beside the message."""

    def __init__(self, veil: Veil) -> None:
        super().__init__()
        self.veil = veil

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        row: dict[str, Any] = {"time": round(record.created, 3), "level": record.levelname.lower()}
        row |= {"logger": record.name, "message": record.getMessage()}
        row |= getattr(record, "fields", {})
        if record.exc_info:
            row["trace"] = self.formatException(record.exc_info)
        return self.veil(json.dumps(row, ensure_ascii=True, default=str))


def start(folder: Path, secrets: Veil) -> list[logging.Handler]:
    """Write the log into a folder, and warnings to the standard error too. Gives what `stop` ends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = RotatingFileHandler(folder / "server.log", maxBytes=SIZE, backupCount=FILES, encoding="utf-8")
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(logging.WARNING)
    for handler in (file, screen):
        handler.setFormatter(Lines(secrets))
        for name in ("graphengine", "aiohttp", "asyncio"):
            logging.getLogger(name).addHandler(handler)
    logging.getLogger("graphengine").setLevel(logging.INFO)
    return [file, screen]


def stop(handlers: list[logging.Handler]) -> None:
    """End what `start` began."""
    for handler in handlers:
        for name in ("graphengine", "aiohttp", "asyncio"):
            logging.getLogger(name).removeHandler(handler)
        handler.close()


def request(fields: Mapping[str, Any]) -> None:
    """Write that a request was answered."""
    REQUESTS.info("request", extra={"fields": fields})


def error(text: str, fields: Mapping[str, Any], cause: BaseException | None = None) -> None:
    """Write that something went wrong, with where in the program."""
    ERRORS.error(text, exc_info=cause, extra={"fields": fields})
