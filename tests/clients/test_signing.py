"""Extrinsics that polkadot.js signs, with every kind of key, are valid, and include."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from runtime.frame.validity import BadProof, InvalidTransaction
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from runtime.primitives.extrinsic import Era, MetadataHashMode, decode_extrinsic
from runtime.runtime import SignatureCache
from tests.clients.node import run_script
from tests.support import BOB, DRT, MemoryChain, new_runtime
from tests.support.chains import to
from tests.support.runtimes import genesis_sections

pytestmark = pytest.mark.slow

PERIOD = 64
LONG = 300  # bytes of a remark, so that the payload is hashed before it is signed


@dataclass(frozen=True)
class Case:
    """One way to sign."""

    scheme: Scheme
    is_long: bool
    is_mortal: bool
    has_digest: bool

    @property
    def pair(self) -> KeyPair:
        """Who signs."""
        return KeyPair.from_suri("//Signer", self.scheme)


CASES = [
    Case(scheme, is_long, is_mortal, has_digest)
    for scheme in Scheme
    for is_long in (False, True)
    for is_mortal in (False, True)
    for has_digest in (False, True)
]


@dataclass
class Signed:
    """What polkadot.js made of the cases, and the chain they are for."""

    chain: MemoryChain
    answers: list[dict[str, Any]]
    with_wrong_digest: bytes

    def extrinsic(self, case: Case) -> bytes:
        """The extrinsic of a case."""
        return unhex(self.answers[CASES.index(case)]["extrinsic"])


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


@cache
def signed() -> Signed:
    balances = {KeyPair.from_suri("//Signer", scheme).account: 10 * DRT for scheme in Scheme}
    chain = MemoryChain.new(new_runtime(), genesis_sections(balances))
    chain.build()
    runtime = chain.runtime
    short = chain.call("Balances", "transfer_keep_alive", dest=to(BOB), value=DRT)
    long = chain.call("System", "remark", remark=bytes(LONG))

    def request(case: Case, digest: bytes) -> dict[str, Any]:
        return {
            "scheme": case.scheme.value,
            "suri": "//Signer",
            "call": f"0x{(long if case.is_long else short).hex()}",
            "nonce": 0,
            "tip": 7,
            "mortality": {"current": 1, "period": PERIOD} if case.is_mortal else None,
            "blockHash": f"0x{chain.head.hash().hex()}" if case.is_mortal else None,
            "metadataHash": f"0x{digest.hex()}" if case.has_digest else None,
        }

    cases = [request(case, runtime.metadata_digest()) for case in CASES]
    cases.append(request(Case(Scheme.ECDSA, False, False, True), bytes(32)))
    *answers, wrong = run_script(
        "signing",
        {
            "metadata": f"0x{runtime.metadata(15).hex()}",
            "runtimeVersion": {
                "specVersion": runtime.version.spec_version,
                "transactionVersion": runtime.version.transaction_version,
            },
            "genesisHash": f"0x{chain.genesis_hash.hex()}",
            "cases": cases,
        },
    )
    return Signed(chain, answers, unhex(wrong["extrinsic"]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_key_is_the_same_there_and_here(case: Case) -> None:
    found = signed().answers[CASES.index(case)]

    assert unhex(found["publicKey"]) == case.pair.public
    assert unhex(found["account"]) == case.pair.account
    assert found["address"] == ss58_encode(case.pair.account)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_polkadot_js_signs_is_valid(case: Case) -> None:
    chain, extrinsic = signed().chain, signed().extrinsic(case)

    validity = chain.runtime.validate_transaction(
        chain.overlay(), extrinsic, SignatureCache(), chain.head.hash()
    )

    assert validity.propagate
    parts = decode_extrinsic(extrinsic).signed
    assert parts is not None
    assert parts.extra.era == (Era.mortal(PERIOD, 1) if case.is_mortal else Era.immortal())
    is_enabled = parts.extra.metadata_hash_mode is MetadataHashMode.ENABLED
    assert is_enabled is case.has_digest


def test_what_polkadot_js_signs_is_included() -> None:
    kept = signed().chain
    chain = replace(kept, states=[*kept.states], headers=[*kept.headers], bodies=[*kept.bodies])
    senders = [Case(scheme, False, False, True) for scheme in Scheme]

    block = chain.build([signed().extrinsic(case) for case in senders])

    assert len(block.extrinsics) == 1 + len(Scheme)
    nonces = [chain.runtime.account_nonce(chain.overlay(), case.pair.account) for case in senders]
    assert nonces == [1, 1, 1]


def test_a_signer_that_saw_other_metadata_is_refused() -> None:
    chain = signed().chain

    with pytest.raises(InvalidTransaction) as caught:
        chain.runtime.validate_transaction(
            chain.overlay(), signed().with_wrong_digest, SignatureCache(), chain.head.hash()
        )

    assert caught.value.reason == BadProof()
