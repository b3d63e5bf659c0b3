"""A world of nodes in virtual time: the production core, pool and runtime under a plan of faults.

Looked at after each event of an honest node: no two final blocks at one height, finality that only
grows (over crashes too: what was told final stays), the set of voters that the final state names,
one vote per stage and round, one block per slot, no alarm about safety, no halt. The ledger looks
at each block: its state root, the pallets' invariants, the supply. After the faults have healed:
finality of all honest nodes passes the highest block there was within `RESUME_MS` and keeps up, and
no honest node sends a peer more than `MESSAGES_MAX` messages or `BYTES_MAX` bytes in a virtual
second.

Left out: the database and its recovery (tests/node/test_chain.py kills real processes), the wire.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from consensus import effects, events
from runtime.frame.extensions import nonce_tag
from runtime.genesis import genesis_storage
from runtime.primitives.block import Header
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import (
    AddressId,
    Era,
    SignedExtra,
    signed_extrinsic,
    signing_payload,
)
from runtime.primitives.session import SessionKeys, prove_ownership
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import Runtime
from runtime.state.trie import extrinsics_root
from tests.simulation.adversary import Adversary
from tests.simulation.disk import CheapKeys, RealKeys, Store, pair_for
from tests.simulation.driver import Network
from tests.simulation.ledger import (
    ACCOUNTS,
    PAYERS,
    Ledger,
    account_of,
    owner_of,
    runtime_of_tests,
    sections_of,
)
from tests.simulation.node import SYNC_MS, Node
from tests.simulation.plan import RECOVERY_MS, Fault, Plan
from tests.simulation.sim_node import SimNode, Transactions, Violation, size_of
from tests.simulation.stored import StoredLedger

RESUME_MS = 90_000  # 36 T, ten slots, one catch-up that timed out, and what a clock was ahead
KEEP_UP_PERCENT = 30  # of the slots after that
MESSAGES_MAX, BYTES_MAX = 200, 1 << 20
TRANSFER_MS = (500, 4_000)
MEMORY = Path("/dev/shm")  # databases there are synced at once; elsewhere a run waits for the disk


class SimWorld(Network):
    """Nodes under a plan. `run_all` runs it to its end and raises when an invariant is broken."""

    def __init__(self, plan: Plan, runtime: Runtime | None = None) -> None:
        self.plan = plan
        self._runtime = runtime or runtime_of_tests()
        is_shared = not plan.is_executed_by_all
        ring = RealKeys(is_shared) if plan.has_real_signatures else CheapKeys(extrinsics_root)
        self._ledger: Ledger | None = None
        self._folder: TemporaryDirectory[str] | None = None
        """Of the nodes' databases."""

        self.has_healed = False
        self.sims: dict[str, SimNode] = {}
        self.bodies: dict[Hash, list[bytes]] = {}
        self.sound: dict[Hash, str] = {}
        """Blocks of honest authors, which nobody honest may refuse."""

        self.duplicate_percent = 0
        self.traffic: Counter[tuple[str, str, int]] = Counter()
        self.octets: Counter[tuple[str, str, int]] = Counter()
        self.events_handled = 0
        self.resumed_after_ms = 0
        self._sized: tuple[object, int] = (None, 0)
        """The last message that was sent, and its bytes: it goes to many."""

        self.lag_max = 0
        """The most blocks of one node that waited for finality, when it came."""

        super().__init__(plan.seed, plan.validators, full=1, ring=ring)
        for name, node in self.nodes.items():
            assert isinstance(node, SimNode)
            self.sims[name] = node
        self._prepare()

    def _prepare(self) -> None:
        plan = self.plan
        for name in sorted(plan.liars):
            node = self.sims[name]
            node.is_honest = False
            lies = tuple(lie for liar, lie in plan.lies if liar == name)
            node.adversary = Adversary(self, node, lies)
        for turn, (at_ms, name) in enumerate(plan.rotations):
            node = self.sims[name]
            pair = (self.ring.seal_key(f"{name} {turn}"), self.ring.vote_key(f"{name} {turn}"))
            node.more_keys = (*node.more_keys, pair)
            node.signer.keys |= {*pair}
            self.at(at_ms, lambda n=name, t=turn: self._rotate(n, t))  # type: ignore[misc]
        for fault in plan.faults:
            self.at(fault.at_ms, lambda f=fault: self._begin(f))  # type: ignore[misc]
        self.at(3_000, self._transfer)

    def make_genesis(self, validators: tuple[str, ...]) -> Header:
        self.storage = genesis_storage(self._runtime, sections_of(validators, self.ring))
        self._ledger = Ledger(self.storage, self._runtime)
        return self._ledger.genesis

    @property
    def ledger(self) -> Ledger:
        """The one that all nodes share, unless each has its own."""
        assert self._ledger is not None, "it is made with the genesis"
        return self._ledger

    def make_node(self, name: str, is_authority: bool) -> Node:
        ledger = self.ledger
        if self.plan.is_executed_by_all:
            if self._folder is None:
                self._folder = TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
            folder = Path(self._folder.name) / name
            ledger = StoredLedger(self.storage, folder, self._runtime)
        return SimNode(self, name, is_authority, ledger)

    def close(self) -> None:
        """Remove the databases of the nodes."""
        for node in self.sims.values():
            if node.stored is not None:
                node.stored.close()
        if self._folder is not None:
            self._folder.cleanup()

    def authorities_after(self, store: Store) -> tuple[tuple[bytes, ...], tuple[bytes, ...], int]:
        for node in (self.ledger, *(sim.ledger for sim in self.sims.values())):
            if node.knows(store.finalized):
                found = node.authorities_after(store.finalized)
                return found.authors, found.voters, found.set_id
        raise AssertionError("nobody executed the finalized block")

    # --- the run

    def run_all(self) -> None:
        """All of the plan, then the recovery. Raises `AssertionError` when something is wrong."""
        heal_ms = self.plan.seconds * 1_000 - RECOVERY_MS
        assert heal_ms > 0, f"a run takes more than {RECOVERY_MS} ms"
        self.start()
        for node in self.sims.values():
            if node.adversary is not None:
                node.adversary.begin()
        self.run_until(heal_ms)
        self.heal_all()
        goal = max(node.best for node in self.honest)
        is_back = self.run(RESUME_MS // 1_000, until=lambda: self._has_finalized(goal))
        self.resumed_after_ms = self.now_ms - heal_ms
        if not is_back:
            raise Violation(f"no finality up to block {goal} after the faults: {self._standing()}")
        before = {node.name: node.finalized for node in self.honest}
        rest_ms = self.plan.seconds * 1_000 - self.now_ms
        self.run(rest_ms // 1_000)
        wanted = rest_ms * KEEP_UP_PERCENT // 100 // self.slot_ms
        for node in self.honest:
            if node.finalized < before[node.name] + wanted:
                raise Violation(f"{node.name} does not keep up: {self._standing()}")
        self._check_traffic()

    def run_until(self, at_ms: int) -> None:
        """Let time pass up to a moment."""
        self.run((at_ms - self.now_ms) // 1_000)

    @property
    def honest(self) -> list[SimNode]:
        """Nodes that do not lie."""
        return [node for node in self.sims.values() if node.is_honest]

    def is_odd(self, name: str) -> bool:
        """Half of the nodes, for those who treat the halves differently."""
        return list(self.nodes).index(name) % 2 == 1

    def _has_finalized(self, number: int) -> bool:
        return all(node.finalized >= number for node in self.honest)

    def _standing(self) -> str:
        lines = [
            f"{node.name}: best {node.best}, finalized {node.finalized}, set "
            f"{node.live.status.set_id} round {node.live.status.round}"
            for node in self.honest
            if node.is_running
        ]
        return "; ".join(lines)

    # --- faults

    def _begin(self, fault: Fault) -> None:
        if self.has_healed:
            return
        nodes = fault.nodes
        match fault.kind:
            case "latency":
                self._all_links(latency_ms=(5, fault.amount))
            case "loss":
                self._all_links(loss_percent=fault.amount)
            case "disorder":
                self._all_links(is_ordered=False)
            case "duplication":
                self.duplicate_percent = fault.amount
            case "cut":
                self.link(nodes[0], nodes[1]).is_cut = True
                self.link(nodes[1], nodes[0]).is_cut = bool(fault.amount)
            case "partition":
                others = [name for name in self.nodes if name not in nodes]
                self.part(" ".join(nodes), " ".join(others))
            case "crash" | "crash all":
                self.kill(*nodes, kept=fault.amount)
            case "wipe":
                self.kill(*nodes)
                for name in nodes:
                    self.sims[name].wipe()
            case "slow disk":
                for name in nodes:
                    self.nodes[name].sync_ms = fault.amount
            case _:
                for name in nodes:
                    self.nodes[name].clock_offset_ms = fault.amount
        self.at(fault.span_ms, lambda: self._end(fault))

    def _end(self, fault: Fault) -> None:
        if self.has_healed:
            return
        match fault.kind:
            case "latency":
                self._all_links(latency_ms=(5, 25))
            case "loss":
                self._all_links(loss_percent=0)
            case "disorder":
                self._all_links(is_ordered=True)
            case "duplication":
                self.duplicate_percent = 0
            case "cut":
                self.link(fault.nodes[0], fault.nodes[1]).is_cut = False
                self.link(fault.nodes[1], fault.nodes[0]).is_cut = False
            case "partition":
                self.heal()
            case "crash" | "crash all" | "wipe":
                self.start_stopped(fault.nodes)
            case "slow disk":
                for name in fault.nodes:
                    self.nodes[name].sync_ms = SYNC_MS
            case _:
                for name in fault.nodes:
                    self.nodes[name].clock_offset_ms = 0

    def heal_all(self) -> None:
        """End all faults; liars go on lying."""
        self.has_healed = True
        self.links = {}
        self.duplicate_percent = 0
        for node in self.nodes.values():
            node.sync_ms, node.clock_offset_ms = SYNC_MS, 0
        self.start_stopped(self.nodes)
        self.heal()

    def start_stopped(self, names: Iterable[str]) -> None:
        """Start those that do not run."""
        for name in names:
            if not self.nodes[name].is_running:
                self.start(name)

    def _all_links(self, **changes: object) -> None:
        for a in self.nodes:
            for b in self.nodes:
                self.links[a, b] = replace(self.link(a, b), **changes)  # type: ignore[arg-type]

    # --- messages

    def send(self, sender: Node, to: str, message: object) -> None:
        node = self.sims[sender.name]
        if node.adversary is not None:
            for changed in node.adversary.outgoing(to, message):
                super().send(sender, to, changed)
            return
        if self.has_healed:
            if message is not self._sized[0]:
                self._sized = (message, size_of(message))
            self._count(sender.name, to, self._sized[1])
        super().send(sender, to, message)

    def deliver(self, sender: Node, to: str, message: object, delay_ms: int) -> None:
        super().deliver(sender, to, message, delay_ms)
        if self.duplicate_percent and self.rng.randrange(100) < self.duplicate_percent:
            self.reached["second copy"] += 1
            super().deliver(sender, to, message, delay_ms + self.rng.randrange(3_000))

    def hand_over(self, sender: Node, receiver: Node, message: object) -> None:
        if isinstance(message, Transactions):
            self.sims[receiver.name].take_in(message.extrinsics)
        else:
            super().hand_over(sender, receiver, message)

    def served(self, server: Node, asker: Node, blocks: tuple[events.SyncBlock, ...]) -> None:
        if self.has_healed and server.is_honest:
            octets = sum(
                sum(map(len, block.extrinsics or ())) + len(block.justification or b"") + 300
                for block in blocks
            )
            self._count(server.name, asker.name, octets)

    def _count(self, sender: str, to: str, octets: int) -> None:
        place = (sender, to, self.now_ms // 1_000)
        self.traffic[place] += 1
        self.octets[place] += octets

    def _check_traffic(self) -> None:
        for counted, most, unit in (
            (self.traffic, MESSAGES_MAX, "messages"),
            (self.octets, BYTES_MAX, "bytes"),
        ):
            if counted:
                place, number = counted.most_common(1)[0]
                if number > most:
                    raise Violation(f"{number} {unit} in a second: {place}")

    def check_finalized(self, node: Node, effect: effects.NotifyFinalized) -> None:
        if node.is_honest:
            super().check_finalized(node, effect)
            self.sims[node.name].told_final(effect)

    # --- the workload

    def _transfer(self) -> None:
        """Somebody sends money at some node, now and again."""
        running = [node for node in self.honest if node.is_running]
        if running:
            node, account = self.rng.choice(running), self.rng.choice(ACCOUNTS)
            dest = self.rng.choice(ACCOUNTS)
            call = self.transfer(dest, self.rng.randint(1, 10**9))
            self._submit(node, PAYERS[account], call)
        self.at(self.rng.randint(*TRANSFER_MS), self._transfer)

    def transfer(self, dest: AccountId, value: int) -> bytes:
        """The call of a transfer."""
        return self._runtime.assembly.encode_call(
            "Balances", "transfer_keep_alive", dest=AddressId(dest), value=value
        )

    def _rotate(self, name: str, turn: int) -> None:
        """A validator registers other keys."""
        running = [node for node in self.honest if node.is_running]
        if not running or not self.plan.has_real_signatures:
            return
        node = self.rng.choice(running)
        account, who = account_of(name), f"{name} {turn}"
        seal, vote = pair_for(who, Scheme.SR25519), pair_for(who, Scheme.ED25519)
        proof = prove_ownership(account, seal, vote)
        keys = SessionKeys(seal.public, vote.public)
        call = node.ledger.runtime.assembly.encode_call(
            "Session", "set_keys", keys=keys, proof=proof
        )
        self._submit(node, owner_of(name), call)

    def _submit(self, node: SimNode, pair: KeyPair, call: bytes) -> None:
        node.take_in((self.signed(node, pair, call),))

    def signed(self, node: SimNode, pair: KeyPair, call: bytes) -> bytes:
        """A call signed with the account's next nonce, as a node sees it."""
        account: AccountId = pair.public
        nonce = node.ledger.nonce(node.disk.now.best, account)
        nonce += node.pool.next_nonce_tag(nonce_tag(account, nonce + i) for i in count())
        version, extra = node.ledger.runtime.version, SignedExtra(Era.immortal(), nonce, 0)
        payload = signing_payload(
            call,
            extra,
            version.spec_version,
            version.transaction_version,
            self.genesis.hash(),
            self.genesis.hash(),
        )
        return signed_extrinsic(pair, call, extra, payload)
