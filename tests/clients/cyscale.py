"""Run scripts of this folder in the environment of async-substrate-interface and cyscale.

It stands beside the one of the tests, because cyscale and scalecodec are packages of one name. A
script is a file `NAME.py` that imports nothing of ours, reads a request as JSON from standard input
and prints its answer as the last line of standard output.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clients.node import FOLDER, TIMEOUT_S, answer_of

ENVIRONMENT = Path(f"{sys.prefix}-cyscale")


def run_cyscale(name: str, request: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Any:
    """Start `NAME.py` there, hand it the request, and return its answer."""
    python = ENVIRONMENT / "bin" / "python"
    assert python.exists(), "the environment of cyscale is not there: make setup-clients"
    done = subprocess.run(
        [str(python), str(FOLDER / f"{name}.py")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return answer_of(f"{name}.py", done.returncode, done.stdout, done.stderr)
