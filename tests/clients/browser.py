"""Chromium without a window, driven by its DevTools protocol over one WebSocket.

Chromium comes from PATH, else from Debian when the tests run as root. Source of the protocol:
https://chromedevtools.github.io/devtools-protocol/, domains Target, Page, Runtime and Network.
"""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "apt-get install -y chromium"
START_S = 30
MESSAGE_S = 20
SWITCH = "DRET_NO_BROWSER"  # set to 1: tests in a browser are skipped


def find_chromium() -> str:
    """Where Chromium is; installed from Debian if it is nowhere. Skips or fails the test else."""
    if os.environ.get(SWITCH) == "1":
        pytest.skip(f"{SWITCH}=1")
    found = _on_path()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], env=environment, **quiet)  # type: ignore[call-overload]
        subprocess.run(INSTALL.split(), env=environment, **quiet)  # type: ignore[call-overload]
        found = _on_path()
    if found is None:
        pytest.fail(
            f"No Chromium on PATH. Install it ({INSTALL}), or set {SWITCH}=1 to go without."
        )
    return found


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One page of a browser."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._session: str | None = None
        self.requests: list[str] = []
        """Addresses that it asked for, WebSockets included."""
        self.errors: list[str] = []
        """What its scripts threw and did not catch."""

    def open(self, url: str) -> None:
        """Make a page, and go there."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Network", "Runtime", "Page"):
            self._call(f"{domain}.enable")
        self._call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page, as JSON."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, value: str, seconds: float) -> None:
        """Until an expression has a value; fails at once when it says that something failed."""
        deadline = time.monotonic() + seconds
        while (found := self.evaluate(expression)) != value:
            assert not str(found).startswith("failed"), found
            assert time.monotonic() < deadline, f"{found}, not {value}; {self.errors}"
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """Press the mouse on an element, as a person does."""
        box = self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    def _call(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(event["params"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(event["params"]["exceptionDetails"])[:2_000])


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A browser with an empty profile, until the end of the block."""
    profile = folder / "profile"
    arguments = [
        "--headless=new",
        "--no-sandbox",  # root has none; the page is our own
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    log = folder / "chromium.log"
    with log.open("wb") as output:
        process = subprocess.Popen([find_chromium(), *arguments], stdout=output, stderr=output)
    try:
        port, path = _address(process, profile / "DevToolsActivePort", log)
        socket = websocket.create_connection(
            f"ws://127.0.0.1:{port}{path}", timeout=MESSAGE_S, suppress_origin=True
        )
        try:
            yield Page(socket)
        finally:
            socket.close()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", file: Path, log: Path) -> tuple[str, str]:
    deadline = time.monotonic() + START_S
    while not file.exists() or "\n" not in (text := file.read_text()):
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)
    port, path = text.split("\n")[:2]
    return port, path
