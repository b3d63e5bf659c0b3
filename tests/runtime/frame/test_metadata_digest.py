"""The digest that signers commit to; that it is the one of wallets, tests/clients shows."""

from blake3 import blake3

from runtime.frame.apis import groups_of
from runtime.frame.metadata_digest import ChainInfo, merkle_root, metadata_digest
from tests.runtime.frame.chain import Chain
from tests.runtime.frame.test_lifetime import assembly_of

INFO = ChainInfo("test", 1, 42, "UNIT", 12)


def hash_of(data: bytes) -> bytes:
    return blake3(data).digest()


def test_the_root_of_one_leaf_is_its_hash() -> None:
    assert merkle_root([b"a"]) == hash_of(b"a")


def test_leaves_lie_at_the_end_of_the_heap() -> None:
    # With three leaves the node above the root's left child holds the last two.
    one, two, three = (hash_of(leaf) for leaf in (b"1", b"2", b"3"))

    assert merkle_root([b"1", b"2", b"3"]) == hash_of(hash_of(two + three) + one)


def test_a_digest_depends_on_all_that_a_device_shows() -> None:
    assembly = Chain().assembly
    digests = {
        metadata_digest(assembly, (), info)
        for info in (
            INFO,
            ChainInfo("text", 1, 42, "UNIT", 12),
            ChainInfo("test", 2, 42, "UNIT", 12),
            ChainInfo("test", 1, 43, "UNIT", 12),
            ChainInfo("test", 1, 42, "UNITS", 12),
            ChainInfo("test", 1, 42, "UNIT", 11),
        )
    }
    digests.add(metadata_digest(assembly_of(1), (), INFO))
    digests.add(metadata_digest(assembly_of(2), (), INFO))

    assert len(digests) == 8


def test_a_digest_does_not_depend_on_what_no_extrinsic_holds() -> None:
    assembly = assembly_of(2)
    apis = groups_of(assembly.apis, {}, {})

    assert metadata_digest(assembly, apis, INFO) == metadata_digest(assembly, (), INFO)
