"""A dapp in Chromium places a bid: it gets its signature from `injectedWeb3`, by `signPayload`."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from substrateinterface import SubstrateInterface

from tests.clients.browser import chromium, find_chromium
from tests.clients.conftest import DevNode
from tests.clients.node import FOLDER, environment

HOME = "//Home//1"
START_S = 40
FINAL_S = 40

pytestmark = [pytest.mark.slow, pytest.mark.live]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def bundle(folder: Path) -> None:
    """The page with its scripts, each in one file."""
    esbuild = FOLDER / "node_modules" / "esbuild" / "bin" / "esbuild"
    (folder / "index.html").write_text((FOLDER / "page" / "index.html").read_text())
    for name in ("wallet", "dapp"):
        source = FOLDER / "page" / f"{name}.mjs"
        options = ["--bundle", "--format=iife", "--log-level=error", "--define:global=globalThis"]
        command = [str(esbuild), str(source), *options, f"--outfile={folder / name}.js"]
        subprocess.run(command, cwd=FOLDER, env=environment(), check=True)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The page's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_page_places_a_bid_with_an_injected_wallet(dev_node: DevNode, tmp_path: Path) -> None:
    find_chromium()
    bundle(tmp_path)
    status = "document.getElementById('status')?.textContent"  # the page may not be there yet

    with serving(tmp_path) as address, chromium(tmp_path) as page:
        page.open(f"{address}?node={quote(dev_node.url)}&suri={quote(HOME)}")
        page.wait_for(status, "ready", START_S)
        page.click("button")
        page.wait_for(status, "placed", FINAL_S)
        bid = page.evaluate("bid")
        (payload,) = page.evaluate("signedPayloads")
        enabled_for = page.evaluate("enabledFor")

    assert page.errors == []
    assert enabled_for == "A page of the tests"
    assert payload["specVersion"] and payload["version"] == 4
    assert "CheckMetadataHash" in payload["signedExtensions"]
    assert {urlsplit(url).hostname for url in page.requests} == {"127.0.0.1"}
    with SubstrateInterface(url=dev_node.url) as client:
        events = client.get_events(bid["block"])
        (placed,) = [
            event.value["attributes"]
            for event in events
            if event.value["event_id"] == "OrderPlaced"
        ]
    assert placed["connection"] == bid["connection"]
    assert (placed["quantity_wh"], placed["price_micro"]) == (250, 300_000)
