"""A runtime upgrade that the genesis schedules, seen by those who ask the chain."""

import pytest

from runtime.primitives.scale import U32, codec
from runtime.runtime import CodeInfo, Runtime
from runtime.version import SPEC_VERSION, SPEC_VERSIONS, RuntimeVersion
from tests.support import ALICE, BOB, DRT, MemoryChain, new_runtime
from tests.support.runtimes import genesis_sections

NEXT = SPEC_VERSION + 1
AT_BLOCK = 3


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> MemoryChain:
    """A program that has one version more, and a chain that goes over to it at block 3."""
    monkeypatch.setattr("runtime.runtime.SPEC_VERSIONS", range(SPEC_VERSIONS[0], NEXT + 1))
    runtime = new_runtime()
    code = CodeInfo.decode(runtime.at(NEXT).code())
    sections = genesis_sections()
    sections["authorities"] = {
        "upgrade": {
            "spec_version": NEXT,
            "metadata_hash": f"0x{code.metadata_hash.hex()}",
            "at_block": AT_BLOCK,
        }
    }
    return MemoryChain.new(runtime, sections)


def build(chain: MemoryChain, *extrinsics: bytes) -> Runtime:
    """The next block, under the runtime that its parent's state names; what runs behind it."""
    chain.runtime = chain.runtime.of_code(chain.overlay().get(b":code"))
    chain.build(extrinsics)
    return chain.runtime.of_code(chain.overlay().get(b":code"))


def asked(chain: MemoryChain, runtime: Runtime, name: str, data: bytes = b"") -> bytes:
    return runtime.call_api(chain.overlay(), name, data)


def test_the_state_of_the_block_before_names_the_new_version(chain: MemoryChain) -> None:
    versions = [build(chain).version.spec_version for _ in range(AT_BLOCK)]

    assert versions == [SPEC_VERSION, NEXT, NEXT]


def test_clients_that_ask_at_a_block_get_the_version_of_its_state(chain: MemoryChain) -> None:
    first = build(chain)
    second = build(chain)

    for runtime, expected in ((first, SPEC_VERSION), (second, NEXT)):
        version = RuntimeVersion.decode(asked(chain, runtime, "Core_version"))
        assert version.spec_version == expected
        number = codec(U32).encode(16)
        metadata = asked(chain, runtime, "Metadata_metadata_at_version", number)
        assert codec(bytes | None).decode(metadata) == runtime.metadata(16)
    assert first.metadata(16) != second.metadata(16)
    assert first.metadata_digest() != second.metadata_digest()


def test_extrinsics_are_signed_for_the_version_that_includes_them(chain: MemoryChain) -> None:
    build(chain)
    build(chain, chain.transfer(ALICE, BOB, DRT))
    chain.runtime = chain.runtime.at(NEXT)

    build(chain, chain.transfer(ALICE, BOB, DRT))

    assert chain.runtime.account_nonce(chain.overlay(), ALICE) == 2
    upgraded = chain.runtime.system.last_runtime_upgrade.get()
    assert upgraded is not None
    assert upgraded.spec_version == NEXT
