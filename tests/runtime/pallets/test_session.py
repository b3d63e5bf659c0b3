"""The validators and their keys."""

from typing import Any

import pytest

from runtime.genesis import genesis_storage
from runtime.primitives.scale import codec
from runtime.primitives.session import SessionKeys
from tests.support import ALICE, BOB, CHARLIE, DAVE, build_runtime, genesis_sections, new_runtime
from tests.support.chains import MemoryChain


def test_validators_authorities_and_voters_stand_in_one_order() -> None:
    runtime = build_runtime()

    assert runtime.session.validators.get() == [ALICE, BOB, CHARLIE, DAVE]
    assert runtime.aura.authorities.get() == [ALICE, BOB, CHARLIE, DAVE]
    assert len(runtime.grandpa.authorities.get()) == 4


@pytest.mark.parametrize("field", ["account", "aura", "grandpa"])
def test_two_validators_with_one_key_are_refused(field: str) -> None:
    sections: dict[str, Any] = genesis_sections()
    validators = sections["session"]["validators"]
    validators[1][field] = validators[0][field]

    with pytest.raises(ValueError, match="section 'session': two validators have the same"):
        genesis_storage(new_runtime(), sections)


def test_a_chain_without_validators_is_refused() -> None:
    sections = genesis_sections()
    sections["session"]["validators"] = []

    with pytest.raises(ValueError, match="0 validators, expected 1 to 100"):
        genesis_storage(new_runtime(), sections)


def test_encoded_session_keys_are_decoded_with_their_types() -> None:
    chain = MemoryChain.new(new_runtime())
    keys = SessionKeys(b"\x01" * 32, b"\x02" * 32).encode()
    name = "SessionKeys_decode_session_keys"

    found = chain.runtime.call_api(chain.overlay(), name, codec(bytes).encode(keys))
    nothing = chain.runtime.call_api(chain.overlay(), name, codec(bytes).encode(keys[1:]))

    expected = [(b"\x01" * 32, b"aura"), (b"\x02" * 32, b"gran")]
    assert found[:1] == b"\x01"
    assert found[1:] == b"\x08" + b"".join(b"\x80" + key + kind for key, kind in expected)
    assert nothing == b"\x00"
