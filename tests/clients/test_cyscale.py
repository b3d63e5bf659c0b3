"""Metadata V14 and V15, events and extrinsics, as cyscale reads them."""

from functools import cache
from typing import Any

import pytest

from runtime.primitives.crypto import ss58_encode
from runtime.runtime import PALLETS
from tests.clients.cyscale import run_cyscale
from tests.support import ALICE, BOB, DRT, MemoryChain, new_runtime

pytestmark = pytest.mark.slow


@cache
def chain() -> MemoryChain:
    """A chain with one transfer."""
    made = MemoryChain.new(new_runtime())
    made.build([made.transfer(ALICE, BOB, 5 * DRT)])
    return made


@cache
def read() -> dict[str, Any]:
    runtime, overlay = chain().runtime, chain().overlay()
    events = overlay.get(runtime.system.events.prefix)
    assert events is not None
    answer: dict[str, Any] = run_cyscale(
        "cyscale_metadata",
        {
            "metadata": {str(v): f"0x{runtime.metadata(v).hex()}" for v in (14, 15)},
            "events": f"0x{events.hex()}",
            "extrinsic": f"0x{chain().bodies[0][1].hex()}",
        },
    )
    return answer


@pytest.mark.parametrize("version", ["14", "15"])
def test_metadata_are_read_to_their_end(version: str) -> None:
    found = read()[version]

    assert found["left"] == 0
    expected = sorted((index, pallet.__name__) for index, pallet in PALLETS.values())
    assert [(pallet["index"], pallet["name"]) for pallet in found["pallets"]] == expected


def test_both_versions_say_the_same_of_the_pallets() -> None:
    assert read()["14"]["pallets"] == read()["15"]["pallets"]


def test_every_function_that_can_be_called_is_described_in_v15() -> None:
    described = {
        f"{api}_{function}" for api, found in read()["15"]["apis"].items() for function in found
    }

    assert described == set(chain().runtime.api_names)
    assert read()["15"]["apis"]["TransactionPaymentApi"]["query_info"] == ["uxt", "len"]


@pytest.mark.parametrize("version", ["14", "15"])
def test_the_events_of_a_block_are_read(version: str) -> None:
    events = read()[version]["events"]

    (transfer,) = (event for event in events if event["event_id"] == "Transfer")
    assert transfer["module_id"] == "Balances"
    assert transfer["attributes"] == {
        "from": ss58_encode(ALICE),
        "to": ss58_encode(BOB),
        "amount": 5 * DRT,
    }
    done = [event for event in events if event["event_id"] == "ExtrinsicSuccess"]
    assert [event["extrinsic_idx"] for event in done] == [0, 1]


@pytest.mark.parametrize("version", ["14", "15"])
def test_a_signed_extrinsic_is_read(version: str) -> None:
    extrinsic = read()[version]["extrinsic"]

    assert extrinsic["address"] == ss58_encode(ALICE)
    assert (extrinsic["nonce"], extrinsic["tip"], extrinsic["era"]) == (0, 0, "00")
    call = extrinsic["call"]
    assert (call["call_module"], call["call_function"]) == ("Balances", "transfer_keep_alive")
    arguments = {argument["name"]: argument["value"] for argument in call["call_args"]}
    assert arguments == {"dest": ss58_encode(BOB), "value": 5 * DRT}
