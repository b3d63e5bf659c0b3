"""An override by the members: what the runtime takes, what it refuses, and what follows."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from msgspec.structs import replace

from consensus.aura import read_header, scheduled_change_of, sealed
from runtime.frame.validity import InvalidTransaction
from runtime.pallets import session
from runtime.pallets.authorities import errors
from runtime.pallets.authorities.events import Recovered
from runtime.pallets.authorities.proposals import RemoveMember, ReplaceKeys
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import SIGNATURE_FORMS, MultiSignature, UncheckedExtrinsic
from runtime.primitives.recovery import (
    SIGNER_KEYS,
    BadOverride,
    Block,
    MemberSignature,
    Override,
    RecoveryLink,
    RecoveryProof,
    check_link,
    check_signatures,
    key_change_payload,
    override_payload,
    signers_in,
)
from runtime.primitives.types import AccountId
from runtime.state.trie import verify_proof
from tests.support import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    EVE,
    FERDIE,
    MemoryChain,
    assert_noop,
    build_runtime,
)
from tests.support import new_runtime as made
from tests.support.accounts import pair_named, pair_of
from tests.support.governance import keys_named, proof_of
from tests.support.runtimes import genesis_sections

MEMBERS = (ALICE, BOB, CHARLIE, DAVE)
NAMES = {ALICE: "Alice", BOB: "Bob", CHARLIE: "Charlie", DAVE: "Dave", EVE: "Eve", FERDIE: "Ferdie"}
FINAL = 3
STALL = 7
Change = Callable[[Override], Override]


def stalled_chain() -> MemoryChain:
    """A chain whose block 3 is the last final one, eight blocks ago."""
    chain = MemoryChain.new(made())
    for _ in range(FINAL + STALL + 1):
        chain.build()
    return chain


def override_of(chain: MemoryChain, accounts: Sequence[AccountId] = (ALICE, BOB, EVE)) -> Override:
    now_ms = chain.time_ms(chain.slot)
    return Override(
        chain.genesis_hash,
        Block(chain.headers[FINAL].hash(), FINAL),
        Block(chain.head.hash(), chain.head.number),
        0,
        1,
        [(who, keys_named(NAMES[who])) for who in accounts],
        now_ms,
        now_ms + 60_000,
        "two machines burnt",
    )


def proof_by(
    chain: MemoryChain, override: Override, signers: Sequence[AccountId | KeyPair] = MEMBERS[:3]
) -> RecoveryProof:
    payload = override_payload(override)
    signatures = [
        MemberSignature(pair.account, SIGNATURE_FORMS[pair.scheme](pair.sign(payload)))
        for pair in (pair_of(who) if isinstance(who, bytes) else who for who in signers)
    ]
    header = chain.headers[override.finalized.number]
    return RecoveryProof(override, header, None, sorted(signatures, key=lambda s: s.member))


def inherent(chain: MemoryChain, proof: RecoveryProof) -> bytes:
    call = chain.call("Authorities", "apply_override", proof=proof.encode())
    return UncheckedExtrinsic(None, call).encode()


def test_the_validators_of_an_override_take_over_with_its_block() -> None:
    chain = stalled_chain()
    proof = proof_by(chain, override_of(chain))

    block = chain.build([inherent(chain, proof)])

    runtime = chain.runtime
    events = list(runtime.assembly.state.events)
    runtime.bind(chain.overlay())
    keys = [keys_named(NAMES[who]) for who in (ALICE, BOB, EVE)]
    assert runtime.session.validators.get() == [ALICE, BOB, EVE]
    assert runtime.session.queued_keys.get() == list(zip((ALICE, BOB, EVE), keys, strict=True))
    assert runtime.aura.authorities.get() == [each.aura for each in keys]
    assert runtime.grandpa.authorities.get() == [(each.grandpa, 1) for each in keys]
    assert runtime.grandpa.set_id() == 1
    assert not runtime.grandpa.is_handing_over()
    assert runtime.authorities.members.get() == [ALICE, BOB, EVE]
    assert Recovered(1, proof.override.start.number) in events
    digest = read_header(sealed(block.header, bytes(64)))
    assert digest.recovery == proof.override.digest()
    assert digest.authorities_change == tuple(each.aura for each in keys)
    assert scheduled_change_of(block.header) is None, "nobody has to make it final to hand over"


def test_the_chain_goes_on_through_the_next_sessions_with_those_validators() -> None:
    chain = stalled_chain()
    chain.build([inherent(chain, proof_by(chain, override_of(chain)))])

    for _ in range(40):
        chain.build()

    chain.runtime.bind(chain.overlay())
    assert chain.runtime.session.validators.get() == [ALICE, BOB, EVE]
    chain.runtime.check_invariants(chain.overlay())


def test_a_block_with_an_override_is_the_same_when_it_is_executed() -> None:
    chain, other = stalled_chain(), stalled_chain()

    block = chain.build([inherent(chain, proof_by(chain, override_of(chain)))])

    other.execute(block)
    assert chain.runtime.recovery_of(block.extrinsics) is not None
    assert chain.runtime.recovery_of(chain.bodies[0]) is None


def test_an_open_handoff_of_a_set_that_never_voted_is_passed_over() -> None:
    chain = MemoryChain.new(made())
    proof = proof_of("Alice2", ALICE)
    call = chain.call("Session", "set_keys", keys=keys_named("Alice2"), proof=proof)
    chain.build([chain.sign(ALICE, call)])
    while chain.head.number < 31:
        chain.build()
    chain.runtime.bind(chain.overlay())
    assert chain.runtime.grandpa.is_handing_over()
    override = replace(override_of(chain, (BOB, CHARLIE, EVE)), set_id=2)

    chain.build([inherent(chain, proof_by(chain, override))])

    chain.runtime.bind(chain.overlay())
    assert chain.runtime.grandpa.set_id() == 2
    assert not chain.runtime.grandpa.is_handing_over()


CHANGES: dict[str, tuple[Change, str]] = {
    "another chain": (lambda o: replace(o, genesis=bytes(32)), "InvalidOverride"),
    "another start": (lambda o: replace(o, start=Block(bytes(32), o.start.number)), "WrongStart"),
    "a start on another fork": (
        lambda o: replace(o, start=Block(o.finalized.hash, o.start.number)),
        "WrongStart",
    ),
    "a final block of another fork": (
        lambda o: replace(o, finalized=Block(bytes(32), o.finalized.number)),
        "InvalidOverride",
    ),
    "a set that was": (lambda o: replace(o, old_set_id=1), "InvalidOverride"),
    "a set too far": (lambda o: replace(o, set_id=3), "WrongStart"),
    "too early": (lambda o: replace(o, not_before=o.expires - 1), "WrongTime"),
    "too late": (lambda o: replace(o, not_before=0, expires=1), "WrongTime"),
    "never valid": (lambda o: replace(o, expires=o.not_before), "InvalidOverride"),
    "nobody": (lambda o: replace(o, validators=[]), "InvalidOverride"),
    "too few": (lambda o: replace(o, validators=o.validators[:2]), "TooFewSignatures"),
    "one twice": (lambda o: replace(o, validators=[o.validators[0]] * 3), "InvalidOverride"),
    "another's key": (
        lambda o: replace(o, validators=[*o.validators[:2], (EVE, keys_named("Charlie"))]),
        "KeyTaken",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_an_override_is_refused_that_names(case: str) -> None:
    change, error = CHANGES[case]
    chain = stalled_chain()
    proof = proof_by(chain, change(override_of(chain)))

    with pytest.raises(InvalidTransaction, match=error):
        chain.build([inherent(chain, proof)])


def test_an_override_is_refused_while_blocks_become_final() -> None:
    chain = stalled_chain()
    recent = chain.headers[-STALL + 1]
    override = replace(override_of(chain), finalized=Block(recent.hash(), recent.number))

    with pytest.raises(InvalidTransaction, match="NotStalled"):
        chain.build([inherent(chain, proof_by(chain, override))])


def test_an_override_is_for_one_block_only() -> None:
    chain = stalled_chain()
    proof = proof_by(chain, override_of(chain))
    chain.build([inherent(chain, proof)])

    with pytest.raises(InvalidTransaction, match="WrongStart"):
        chain.build([inherent(chain, proof)])


def test_two_overrides_do_not_fit_into_one_block() -> None:
    chain = stalled_chain()
    first = proof_by(chain, override_of(chain))
    second = proof_by(chain, override_of(chain, (ALICE, BOB, FERDIE)))

    with pytest.raises(InvalidTransaction, match="WrongStart"):
        chain.build([inherent(chain, first), inherent(chain, second)])


@pytest.mark.parametrize(
    "signers",
    [(), MEMBERS[:2], (ALICE, BOB, EVE), (ALICE, BOB, BOB)],
    ids=["nobody", "two of four", "a stranger", "one twice"],
)
def test_more_than_two_thirds_of_the_members_have_to_sign(signers: Sequence[AccountId]) -> None:
    chain = stalled_chain()

    with pytest.raises(InvalidTransaction, match="TooFewSignatures"):
        chain.build([inherent(chain, proof_by(chain, override_of(chain), signers))])


def test_a_signature_of_another_override_does_not_count() -> None:
    chain = stalled_chain()
    meant = proof_by(chain, override_of(chain))
    forged = replace(meant, override=override_of(chain, (ALICE, BOB, FERDIE)))

    with pytest.raises(InvalidTransaction, match="TooFewSignatures"):
        chain.build([inherent(chain, forged)])


def test_a_member_that_was_removed_has_no_voice() -> None:
    chain = stalled_chain()
    proof = proof_by(chain, override_of(chain), (ALICE, BOB, CHARLIE))
    runtime, overlay = chain.runtime, chain.overlay()
    runtime.bind(overlay)
    assert runtime.override_fault(overlay, proof) is None

    runtime.authorities.members.set([ALICE, BOB, DAVE])

    fault = runtime.override_fault(overlay, proof)
    assert fault is not None and "is no member" in fault


# --- recovery keys


def offline(name: str = "safe") -> KeyPair:
    return pair_named(name, Scheme.ED25519)


def consent(genesis: bytes, member: AccountId, key: AccountId, by: KeyPair) -> MultiSignature:
    return SIGNATURE_FORMS[by.scheme](by.sign(key_change_payload(genesis, member, key)))


def test_a_key_kept_off_line_signs_in_the_place_of_the_account() -> None:
    chain = MemoryChain.new(made())
    key = offline().account
    signature = consent(chain.genesis_hash, CHARLIE, key, pair_of(CHARLIE))
    call = chain.call("Authorities", "set_recovery_key", key=key, signature=signature)
    chain.build([chain.sign(CHARLIE, call)])
    while chain.head.number < FINAL + STALL + 1:
        chain.build()
    override = override_of(chain)

    with pytest.raises(InvalidTransaction, match="TooFewSignatures"):
        chain.build([inherent(chain, proof_by(chain, override))])

    payload = override_payload(override)
    by_account = proof_by(chain, override, (ALICE, BOB)).signatures
    by_key = MemberSignature(CHARLIE, SIGNATURE_FORMS[Scheme.ED25519](offline().sign(payload)))
    signatures = sorted([*by_account, by_key], key=lambda entry: entry.member)
    proof = replace(proof_by(chain, override), signatures=signatures)
    chain.build([inherent(chain, proof)])
    chain.runtime.bind(chain.overlay())
    assert chain.runtime.authorities.recovery_keys.get() == [], "Charlie is no member any more"


def test_who_has_only_the_account_cannot_change_the_recovery_key() -> None:
    runtime = build_runtime()
    genesis = runtime.system.block_hash(0) or b""
    first, second = offline("safe").account, offline("thief").account
    pallet = runtime.authorities
    pallet.set_recovery_key(ALICE, first, consent(genesis, ALICE, first, pair_of(ALICE)))

    by_account = consent(genesis, ALICE, second, pair_of(ALICE))
    assert_noop(
        runtime,
        lambda: pallet.set_recovery_key(ALICE, second, by_account),
        errors.WrongRecoveryKey,
    )
    pallet.set_recovery_key(ALICE, second, consent(genesis, ALICE, second, offline("safe")))
    assert dict(pallet.recovery_signers())[ALICE] == second


def test_a_key_signs_for_one_member_only_and_strangers_have_none() -> None:
    runtime = build_runtime()
    genesis = runtime.system.block_hash(0) or b""
    pallet = runtime.authorities

    for who, key, error in (
        (ALICE, BOB, errors.KeyTaken),
        (EVE, offline().account, errors.NotMember),
    ):
        signature = consent(genesis, who, key, pair_of(who))
        attempt = partial(pallet.set_recovery_key, who, key, signature)
        assert_noop(runtime, attempt, error)


def test_one_key_that_speaks_for_two_members_counts_once() -> None:
    chain = stalled_chain()
    override = override_of(chain)
    proof = proof_by(chain, override, (ALICE, BOB))
    again = MemberSignature(CHARLIE, proof.signatures[0].signature)
    first = proof.signatures[0].member
    signers = [(who, first if who == CHARLIE else who) for who in MEMBERS]
    signatures = sorted([*proof.signatures, again], key=lambda entry: entry.member)

    with pytest.raises(BadOverride, match="expected 3"):
        check_signatures(replace(proof, signatures=signatures), signers)


def test_a_genesis_names_recovery_keys() -> None:
    sections = {"authorities": {"recovery_keys": {"0x" + ALICE.hex(): "0x" + EVE.hex()}}}
    chain = MemoryChain.new(made(), {**genesis_sections(), **sections})
    chain.runtime.bind(chain.overlay())
    assert dict(chain.runtime.authorities.recovery_signers())[ALICE] == EVE

    wrong = {"authorities": {"recovery_keys": {"0x" + EVE.hex(): "0x" + ALICE.hex()}}}
    with pytest.raises(ValueError, match="no member"):
        MemoryChain.new(made(), {**genesis_sections(), **wrong})


# --- links


def link_of(chain: MemoryChain, proof: RecoveryProof) -> RecoveryLink:
    final, start = proof.override.finalized.number, proof.override.start.number
    members = chain.states[final]._trie.proof(SIGNER_KEYS)
    return RecoveryLink(proof, members, chain.headers[final + 1 : start + 1])


def read(root: bytes, items: Sequence[bytes]) -> Sequence[tuple[AccountId, AccountId]]:
    return signers_in(verify_proof(root, items, SIGNER_KEYS))


def test_who_follows_handoffs_judges_an_override_by_the_members_in_the_final_state() -> None:
    chain = stalled_chain()
    link = link_of(chain, proof_by(chain, override_of(chain)))

    check_link(link, chain.genesis_hash, 0, read)

    shorter = RecoveryLink(link.proof, link.members, link.headers[1:])
    short = RecoveryLink(link.proof, link.members, link.headers[:-1])
    fewer = RecoveryLink(
        replace(link.proof, signatures=link.proof.signatures[:2]), link.members, link.headers
    )
    for wrong, set_id, words in (
        (link, 1, "overrides set 0, expected 1"),
        (shorter, 0, "no child"),
        (short, 0, "not to its start"),
        (fewer, 0, "2 of 4 members signed, expected 3"),
    ):
        with pytest.raises(BadOverride, match=words):
            check_link(wrong, chain.genesis_hash, set_id, read)


# --- other keys for a member


def test_members_give_a_member_other_session_keys() -> None:
    runtime = build_runtime()
    action = ReplaceKeys(DAVE, keys_named("Dave2"), proof_of("Dave2", DAVE))
    pallet = runtime.authorities

    pallet.propose(ALICE, action)
    for who in (BOB, CHARLIE, DAVE):
        pallet.vote(who, 0, is_aye=True)
    number = runtime.constants.timelock_unanimous_blocks + runtime.system.number.get()
    runtime.system.number.set(number)
    pallet.on_initialize(number)

    assert runtime.session.next_keys[DAVE] == keys_named("Dave2")


def test_keys_that_are_not_the_members_cannot_be_proposed() -> None:
    runtime = build_runtime()
    pallet = runtime.authorities
    stolen = ReplaceKeys(DAVE, keys_named("Dave2"), proof_of("Dave2", EVE))
    strangers = ReplaceKeys(EVE, keys_named("Eve"), proof_of("Eve", EVE))

    assert_noop(runtime, lambda: pallet.propose(ALICE, stolen), session.InvalidProof)
    assert_noop(runtime, lambda: pallet.propose(ALICE, strangers), errors.NotMember)
    assert pallet.propose(ALICE, RemoveMember(DAVE)) is None
