"""Whatever members decide and whoever fails: sets change in small steps, one handoff at a time, and
every importer comes to the same state."""

import random

import pytest

from consensus.aura import read_header, sealed
from runtime.frame.dispatch import InvalidBlock
from runtime.pallets.authorities.proposals import (
    Action,
    AddMember,
    AppointOperator,
    CancelUpgrade,
    EmergencyDisable,
    RemoveMember,
    ReplaceMember,
)
from runtime.pallets.session import Validator, changes_max, count_changes
from runtime.primitives.block import Block, Header
from runtime.primitives.extrinsic import UncheckedExtrinsic
from runtime.primitives.finality import threshold
from runtime.primitives.grandpa import (
    Commit,
    Justification,
    Precommit,
    SignedPrecommit,
    vote_payload,
)
from runtime.state.overlay import Overlay
from tests.support import DRT, MemoryChain, genesis_sections, new_runtime
from tests.support.accounts import pair_named
from tests.support.governance import heartbeat, keys_named, pairs_of, proof_of

NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie", "Greta", "Hanno")
ACCOUNTS = {name: pair_named(name).public for name in NAMES}
SHORT = {
    "session_blocks": 4,
    "proposal_blocks": 10,
    "timelock_blocks": 3,
    "timelock_unanimous_blocks": 1,
    "emergency_blocks": 6,
    "heartbeat_sessions": 2,
}
BLOCKS = 90


class History:
    """A chain on which things happen at random; no extrinsic fails to be included."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        balances = dict.fromkeys(ACCOUNTS.values(), 1_000 * DRT)
        self.sections = genesis_sections(balances)
        self.chain = MemoryChain.new(new_runtime(True, **SHORT), self.sections)
        self.runtime = self.chain.runtime
        self.makers = {keys_named(name).encode(): name for name in NAMES}
        """By which name keys were made."""

        self.voters = {keys_named(name).grandpa: pairs_of(name)[1] for name in NAMES}
        self.made = 0
        self.nonces: dict[str, int] = {}

    def step(self) -> None:
        """Build a block with some calls, in the next slot whose author is not disabled."""
        self.nonces = {}
        body = [*self.handoff_proof(), *self.signs_of_life()]
        body += [self.some_call() for _ in range(self.rng.randrange(9))]
        while True:
            try:
                self.chain.build(body)
                return
            except InvalidBlock as error:
                assert "is disabled" in str(error)
                self.chain.slot += 1

    def bind(self) -> None:
        self.runtime.bind(self.chain.overlay())

    def sign(self, name: str, call: bytes) -> bytes:
        who = ACCOUNTS[name]
        before = self.runtime.account_nonce(self.chain.overlay(), who)
        nonce = self.nonces.get(name, before)
        self.nonces[name] = nonce + 1
        return self.chain.sign(pair_named(name), call, nonce)

    def some_call(self) -> bytes:
        """Members propose and vote, anybody registers new keys."""
        self.bind()
        pallet = self.runtime.authorities
        members = [name for name, who in ACCOUNTS.items() if who in pallet.members.get()]
        name, open_ = self.rng.choice(members), pallet.open_proposals.get()
        match self.rng.randrange(8):
            case 0:
                name = self.rng.choice(NAMES)
                call = self.new_keys(name)
            case 1:
                call = self.chain.call("Authorities", "propose", action=self.some_action())
            case _:
                proposal_id = self.rng.choice(open_) if open_ else 0
                is_aye = self.rng.random() < 0.9
                call = self.chain.call(
                    "Authorities", "vote", proposal_id=proposal_id, is_aye=is_aye
                )
        return self.sign(name, call)

    def new_keys(self, name: str) -> bytes:
        self.made += 1
        maker = f"{name}{self.made}"
        keys, proof = keys_named(maker), proof_of(maker, ACCOUNTS[name])
        self.makers[keys.encode()] = maker
        self.voters[keys.grandpa] = pairs_of(maker)[1]
        return self.chain.call("Session", "set_keys", keys=keys, proof=proof)

    def some_action(self) -> Action:
        one, other = (ACCOUNTS[name] for name in self.rng.sample(NAMES, 2))
        return self.rng.choice(
            [
                AddMember(one),
                AddMember(one),
                RemoveMember(one),
                ReplaceMember(one, other),
                EmergencyDisable(one),
                AppointOperator(one),
                CancelUpgrade(),
            ]
        )

    def signs_of_life(self) -> list[bytes]:
        """Heartbeats of candidates, most of the time."""
        self.bind()
        pallet = self.runtime.authorities
        session, seen = self.runtime.session.session_index(), pallet.seen.get()
        authors, found = self.runtime.session.validators.get(), list[bytes]()
        for who in ACCOUNTS.values():
            self.bind()
            keys = self.runtime.session.next_keys[who]
            is_candidate = pallet.candidates[who] is not None and who not in authors
            if keys is not None and is_candidate and who not in seen and self.rng.random() < 0.5:
                found.append(heartbeat(self.chain, self.makers[keys.encode()], who, session))
        return found

    def handoff_proof(self) -> list[bytes]:
        """The proof of an open handoff, when its author has it."""
        self.bind()
        handoff = self.runtime.grandpa.open_handoff.get()
        if handoff is None or self.rng.random() < 0.7:
            return []
        header = self.chain.headers[handoff.number]
        voters = sorted(handoff.voters)
        target = Precommit(header.hash(), header.number)
        payload = vote_payload(target, 3, handoff.set_id)
        votes = [
            SignedPrecommit(*header_ref(header), self.voters[key].sign(payload), key)
            for key in voters[: threshold(len(voters))]
        ]
        proof = Justification(3, Commit(*header_ref(header), votes), []).encode()
        call = self.chain.call("Grandpa", "note_handoff", justification=proof)
        return [UncheckedExtrinsic(None, call).encode()]


def header_ref(header: Header) -> tuple[bytes, int]:
    return header.hash(), header.number


def follow(history: History) -> tuple[int, int]:
    """Check each block's digest against the sets; how many handoffs and changes there were."""
    chain = history.chain
    handoffs, changes = 0, 0
    current: list[Validator] | None = None
    for number, header in enumerate(chain.headers):
        history.runtime.bind(Overlay(chain.states[number]))
        following = history.runtime.session.current_set()
        if current is not None and following != current:
            digest = read_header(sealed(header, bytes(64)))
            keys = [keys for _, keys in following]
            assert number % SHORT["session_blocks"] == 0
            assert digest.authorities_change == tuple(key.aura for key in keys)
            assert digest.scheduled_change == tuple(key.grandpa for key in keys)
            assert count_changes(current, following) <= changes_max(len(current))
            handoffs += 1
            changes += count_changes(current, following)
        elif number:
            digest = read_header(sealed(header, bytes(64)))
            assert digest.authorities_change is digest.scheduled_change is None
        current = following
    return handoffs, changes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_sets_change_in_small_steps_and_importers_agree(seed: int) -> None:
    history = History(seed)
    for _ in range(BLOCKS):
        history.step()

    handoffs, changes = follow(history)
    other = MemoryChain.new(new_runtime(True, **SHORT), history.sections)
    for header, body in zip(history.chain.headers[1:], history.chain.bodies, strict=True):
        other.execute(Block(header, body))

    assert other.head == history.chain.head
    assert handoffs >= 8
    assert changes >= handoffs
