"""The voters of finality."""

from runtime.pallets.grandpa import Live
from runtime.primitives.crypto import Scheme
from tests.support import MemoryChain, build_runtime, new_runtime
from tests.support.accounts import pair_named
from tests.support.runtimes import VALIDATORS


def test_voters_are_the_validators_in_their_order_with_weight_one() -> None:
    runtime = build_runtime()

    keys = [pair_named(name, Scheme.ED25519).public for name in VALIDATORS]
    assert runtime.grandpa.authorities.get() == [(key, 1) for key in keys]
    assert runtime.grandpa.state.get() == Live()


def test_clients_read_voters_and_set_id() -> None:
    chain = MemoryChain.new(new_runtime())
    call_api = chain.runtime.call_api
    keys = [pair_named(name, Scheme.ED25519).public for name in VALIDATORS]

    encoded = call_api(chain.overlay(), "GrandpaApi_grandpa_authorities", b"")

    weight = (1).to_bytes(8, "little")
    assert encoded == b"\x10" + b"".join(key + weight for key in keys)
    assert call_api(chain.overlay(), "GrandpaApi_current_set_id", b"") == bytes(8)


def test_the_node_reads_voters_and_set_id() -> None:
    chain = MemoryChain.new(new_runtime())

    assert len(chain.runtime.grandpa_authorities(chain.overlay())) == 4
    assert chain.runtime.grandpa_set_id(chain.overlay()) == 0
