"""Asks this node's BGP agent which peers told of an address (bgp/door.py answers)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import msgspec

from felix_py.ctl.calc.facts import Told, told_from
from felix_py.kernel.model import IPAddress
from felix_py.runtime.errors import TransientError

ANSWER_SECONDS = 7.0
"""Longer than the agent itself waits for its loop."""
MAX_ANSWER_BYTES = 1 << 20


class NoAnswer(TransientError):
    """The agent does not run, is busy, or speaks another language."""


def ask(run_dir: str, address: IPAddress) -> Told:
    """The paths that peers told. Raises NoAnswer."""
    try:
        answer = json.loads(_exchange(Path(run_dir) / "bgp" / "ask.sock", f"{address}\n"))
        if not isinstance(answer, dict) or "paths" not in answer:
            raise NoAnswer(f"the BGP agent says {_error(answer)}")
        return told_from(address, answer)
    except OSError as error:
        raise NoAnswer(f"the BGP agent does not answer: {error.strerror or error}") from error
    except (ValueError, msgspec.ValidationError) as error:
        raise NoAnswer(f"the BGP agent's answer cannot be read: {error}") from error


def _exchange(path: Path, question: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(path))
        connection.sendall(question.encode("ascii"))
        answer = b""
        while len(answer) < MAX_ANSWER_BYTES and (received := connection.recv(1 << 16)):
            answer += received
    return answer


def _error(answer: Any) -> str:  # noqa: ANN401  JSON of another process
    return str(answer.get("error", "nothing")) if isinstance(answer, dict) else "nothing"
