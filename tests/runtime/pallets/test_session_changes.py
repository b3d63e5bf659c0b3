"""Validators and their keys: registered, queued, handed over to, proved final."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.aura import read_header, sealed
from runtime.frame.dispatch import InvalidBlock
from runtime.frame.validity import InvalidTransaction
from runtime.pallets import grandpa, session
from runtime.pallets.aura import AUTHORITIES_MAX
from runtime.pallets.session import Validator, changes_max, count_changes, next_set
from runtime.primitives.block import Digest, Header, PreRuntime
from runtime.primitives.session import SessionKeys, prove_ownership
from tests.support import ALICE, BOB, CHARLIE, DAVE, EVE, MemoryChain, assert_noop, build_runtime
from tests.support import new_runtime as made
from tests.support.governance import (
    end_of_session,
    keys_named,
    note_handoff,
    pairs_of,
    proof_of,
    prove_final,
    register,
)

VALIDATORS = (ALICE, BOB, CHARLIE, DAVE)
SESSION = 15


def chain_with_rotation(name: str = "Alice2") -> MemoryChain:
    """A chain in whose first block Alice registers new keys."""
    chain = MemoryChain.new(made())
    call = chain.call("Session", "set_keys", keys=keys_named(name), proof=proof_of(name, ALICE))
    chain.build([chain.sign(ALICE, call)])
    return chain


# --- keys


def test_keys_are_registered_with_a_proof_of_both() -> None:
    runtime = build_runtime()

    register(runtime, EVE, "Eve")

    assert runtime.session.next_keys[EVE] == keys_named("Eve")


def test_a_proof_for_another_account_registers_nothing() -> None:
    runtime = build_runtime()
    stolen = proof_of("Eve", EVE)

    assert_noop(
        runtime,
        lambda: runtime.session.set_keys(BOB, keys_named("Eve"), stolen),
        session.InvalidProof,
    )


@pytest.mark.parametrize("cut", [0, 64, 127])
def test_a_proof_by_one_key_only_registers_nothing(cut: int) -> None:
    runtime = build_runtime()
    proof = proof_of("Eve", EVE)[:cut]

    assert_noop(
        runtime,
        lambda: runtime.session.set_keys(EVE, keys_named("Eve"), proof),
        session.InvalidProof,
    )


def test_a_key_of_another_account_is_refused() -> None:
    runtime = build_runtime()
    aura, _ = pairs_of("Alice")
    _, votes = pairs_of("Eve")
    keys = SessionKeys(aura.public, votes.public)

    assert_noop(
        runtime,
        lambda: runtime.session.set_keys(EVE, keys, prove_ownership(EVE, aura, votes)),
        session.DuplicatedKey,
    )


def test_a_replaced_key_never_comes_back() -> None:
    runtime = build_runtime()
    register(runtime, ALICE, "Alice2")

    assert_noop(runtime, lambda: register(runtime, ALICE, "Alice"), session.DuplicatedKey)


def test_one_of_two_keys_may_stay() -> None:
    runtime = build_runtime()
    aura, _ = pairs_of("Alice")
    _, votes = pairs_of("Alice2")
    keys = SessionKeys(aura.public, votes.public)

    runtime.session.set_keys(ALICE, keys, prove_ownership(ALICE, aura, votes))

    assert runtime.session.next_keys[ALICE] == keys


# --- sessions


def test_new_keys_are_queued_at_the_end_of_the_session_and_used_a_session_later() -> None:
    chain = chain_with_rotation()

    end_of_session(chain)
    runtime = chain.runtime
    runtime.bind(chain.overlay())
    queued, before = runtime.session.queued_keys.get(), runtime.session.current_set()
    end_of_session(chain)
    runtime.bind(chain.overlay())

    assert dict(queued)[ALICE] == keys_named("Alice2")
    assert dict(before)[ALICE] == keys_named("Alice")
    assert dict(runtime.session.current_set())[ALICE] == keys_named("Alice2")
    assert runtime.grandpa_set_id(chain.overlay()) == 1
    assert runtime.session.current_index.get() == 2


def test_the_last_block_of_the_session_tells_both_changes_in_its_digest() -> None:
    chain = chain_with_rotation()
    end_of_session(chain)

    handoff = end_of_session(chain)

    digest = read_header(sealed(handoff.header, bytes(64)))
    keys = [keys for _, keys in chain.runtime.session.current_set()]
    assert digest.authorities_change == tuple(key.aura for key in keys)
    assert digest.scheduled_change == tuple(key.grandpa for key in keys)
    assert handoff.header.number == 2 * SESSION


def test_sessions_without_a_change_say_nothing_in_the_digest() -> None:
    chain = MemoryChain.new(made())

    ends = [end_of_session(chain).header for _ in range(3)]

    assert all(len(header.digest.logs) == 1 for header in ends)
    assert chain.runtime.grandpa_set_id(chain.overlay()) == 0


def test_fees_of_the_block_that_hands_over_go_to_its_author() -> None:
    chain = MemoryChain.new(made())
    runtime = chain.runtime
    runtime.bind(overlay := chain.overlay())
    overlay.begin()
    runtime.session.queued_keys.set(runtime.session.queued_keys.get()[1:])
    place = runtime.aura.author_index()
    author = runtime.session.validators.get()[place or 0]

    runtime.session.end_session(VALIDATORS)

    assert runtime.session.author() == author
    assert len(runtime.session.validators.get()) == 3


def test_a_second_change_waits_until_the_first_is_proved_final() -> None:
    chain = chain_with_rotation()
    end_of_session(chain)
    call = chain.call("Session", "set_keys", keys=keys_named("Bob2"), proof=proof_of("Bob2", BOB))
    handoff = end_of_session(chain, [chain.sign(BOB, call)])

    end_of_session(chain)
    runtime = chain.runtime
    unproved = runtime.grandpa_set_id(chain.overlay())
    chain.build([note_handoff(chain, handoff.header, 0)])
    end_of_session(chain)

    assert unproved == 1
    assert runtime.grandpa_set_id(chain.overlay()) == 2
    assert dict(runtime.session.current_set())[BOB] == keys_named("Bob2")


@pytest.mark.parametrize(
    ("set_id", "names"),
    [
        (1, ("Alice", "Bob", "Charlie")),
        (0, ("Alice", "Bob")),
        (0, ("Alice", "Bob", "Charlie", "Dave")),
        (0, ("Alice2", "Bob", "Charlie")),
    ],
    ids=["of the next set", "too few", "too many", "by a voter of the next set"],
)
def test_a_handoff_is_only_proved_by_the_set_that_hands_over(
    set_id: int, names: Sequence[str]
) -> None:
    chain = chain_with_rotation()
    end_of_session(chain)
    handoff = end_of_session(chain)

    with pytest.raises(InvalidTransaction, match="WrongJustification"):
        chain.build([note_handoff(chain, handoff.header, set_id, *names)])


def test_a_proof_of_another_block_is_no_proof_of_the_handoff() -> None:
    chain = chain_with_rotation()
    before = end_of_session(chain)
    end_of_session(chain)

    with pytest.raises(InvalidTransaction, match="WrongJustification"):
        chain.build([note_handoff(chain, before.header, 0)])


def test_a_proof_that_nobody_waits_for_makes_a_block_invalid() -> None:
    runtime = build_runtime()
    header = MemoryChain.new(made()).head

    assert_noop(
        runtime,
        lambda: runtime.grandpa.note_handoff(None, prove_final(header, 0).encode()),
        grandpa.NoHandoff,
    )


def test_a_disabled_author_makes_no_valid_block_until_the_session_ends() -> None:
    chain = MemoryChain.new(made())
    runtime = chain.runtime
    place = (chain.slot + 1) % 4
    overlay = chain.overlay()
    runtime.bind(overlay)
    assert runtime.session.disable(VALIDATORS[place])

    with pytest.raises(InvalidBlock, match="is disabled"):
        runtime.initialize_block(overlay, chain.draft())


def test_at_most_f_validators_are_disabled() -> None:
    runtime = build_runtime()

    first, again, second = (
        runtime.session.disable(ALICE),
        runtime.session.disable(ALICE),
        runtime.session.disable(BOB),
    )

    assert (first, again, second) == (True, True, False)
    assert runtime.session.disabled_validators.get() == [0]


def test_an_importer_comes_to_the_same_chain_over_a_handoff() -> None:
    chain = chain_with_rotation()
    end_of_session(chain)
    handoff = end_of_session(chain)
    chain.build([note_handoff(chain, handoff.header, 0)])
    other = MemoryChain.new(made())

    for header, body in zip(chain.headers[1:], chain.bodies, strict=True):
        other.execute(type(handoff)(header, body))

    assert other.head == chain.head


def test_a_change_of_all_validators_fits_into_a_header() -> None:
    runtime = build_runtime()
    keys = [number.to_bytes(32, "big") for number in range(AUTHORITIES_MAX)]
    for place in range(40):
        runtime.aura.tell_disabled(place)
    runtime.aura.change_authorities(keys)
    runtime.grandpa.change_authorities(keys)
    logs = [PreRuntime(b"aura", bytes(8)), *runtime.system.block_digest().logs]

    header = Header(bytes(32), 2**32 - 1, bytes(32), bytes(32), Digest(logs))
    digest = read_header(sealed(header, bytes(64)))

    assert digest.authorities_change == digest.scheduled_change == tuple(keys)


# --- steps between sets


def a_set(*names: str) -> list[Validator]:
    return [(keys_named(name).aura, keys_named(name)) for name in names]


def test_a_replacement_in_a_set_of_four_takes_the_new_one_in_first() -> None:
    current, goal = a_set("A", "B", "C", "D"), a_set("A", "B", "C", "E")

    between = next_set(current, goal)

    assert between == a_set("A", "B", "C", "D", "E")
    assert next_set(between, goal) == goal


def test_who_has_to_go_goes_first_where_a_fault_is_still_tolerated() -> None:
    current, goal = a_set("A", "B", "C", "D", "E"), a_set("A", "B", "C", "D", "F")

    assert next_set(current, goal) == a_set("A", "B", "C", "D")


def test_new_keys_count_as_a_change_and_keep_the_place() -> None:
    current = a_set("A", "B", "C", "D")
    goal = list(current)
    goal[1] = (goal[1][0], keys_named("B2"))
    goal[2] = (goal[2][0], keys_named("C2"))

    between = next_set(current, goal)

    assert between == [current[0], goal[1], current[2], current[3]]


names = st.sampled_from([f"V{number}" for number in range(12)])
versions = st.integers(0, 1)
some = st.dictionaries(names, versions, min_size=1, max_size=12)


def set_of(chosen: dict[str, int]) -> list[Validator]:
    return [
        (name.encode(), SessionKeys(f"{name} {version} a".encode(), f"{name} {version} g".encode()))
        for name, version in chosen.items()
    ]


@pytest.mark.slow
@given(some, some)
def test_steps_are_small_and_lead_to_the_goal(now: dict[str, int], then: dict[str, int]) -> None:
    current, goal = set_of(now), set_of(then)

    for _ in range(30):
        following = next_set(current, goal)
        assert count_changes(current, following) <= changes_max(len(current))
        assert len({who for who, _ in following}) == len(following)
        current = following

    assert dict(current) == dict(goal)
