"""The voters of finality."""

import pytest

from runtime.pallets.authorities.key_ownership import KeyOwnership
from runtime.pallets.grandpa import Live
from runtime.primitives.crypto import Scheme
from runtime.primitives.grandpa import EquivocatedVote, EquivocationProof, PrevoteEquivocation
from runtime.runtime import ApiError
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


def test_whose_key_it_was_is_told_for_each_kept_set() -> None:
    chain = MemoryChain.new(new_runtime())
    name = "GrandpaApi_generate_key_ownership_proof"
    bob, stranger = (pair_named(name, Scheme.ED25519).public for name in ("Bob", "Ferdie"))

    def asked(set_id: int, key: bytes) -> bytes:
        data = set_id.to_bytes(8, "little") + key
        return chain.runtime.call_api(chain.overlay(), name, data)

    proof = KeyOwnership(0, pair_named("Bob").public).encode()
    assert asked(0, bob) == b"\x01" + bytes([len(proof) << 2]) + proof
    assert asked(0, stranger) == b"\x00"
    assert asked(1, bob) == b"\x00"


def test_reports_are_not_handed_in_by_a_call_of_the_runtime_api() -> None:
    chain = MemoryChain.new(new_runtime())
    vote = EquivocatedVote(bytes(32), 1, bytes(64))
    evidence = EquivocationProof(0, PrevoteEquivocation(1, bytes(32), vote, vote)).encode()
    name = "GrandpaApi_submit_report_equivocation_unsigned_extrinsic"

    assert chain.runtime.call_api(chain.overlay(), name, evidence + b"\x00") == b"\x00"


def test_session_keys_are_not_generated_without_a_keystore() -> None:
    chain = MemoryChain.new(new_runtime())

    with pytest.raises(ApiError, match="use author_rotateKeys"):
        chain.runtime.call_api(chain.overlay(), "SessionKeys_generate_session_keys", b"\x00")
