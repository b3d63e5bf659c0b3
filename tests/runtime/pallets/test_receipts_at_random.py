"""No honest validator is ever convicted, whatever senders and other authors do around it.

Alice is honest: she promises as `node.receipts` does and puts what she promised first into her
blocks, as `Chain.build` does. All other authors put in what they like. Senders hand in orders with
good and with bad nonces, replace what was promised, spend their money, end their accounts and begin
them anew. At the end each of her receipts is held against each block there was.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.extensions import InvalidTransaction
from runtime.primitives.block import Block
from runtime.primitives.receipts import Receipt
from runtime.runtime import SignatureCache
from tests.support import ALICE, BOB, CHARLIE, MemoryChain, new_runtime
from tests.support.accounts import pair_named
from tests.support.chains import to
from tests.support.receipts import author_at, evidence_of, promise_of
from tests.support.runtimes import DRT, genesis_sections

HOMES = {ALICE: 1, BOB: 2}
HONEST = pair_named("Alice")
BLOCKS = 14
POOR, RICH = 4_000_000, 1_000 * DRT
"""A poor account has money for a few fees, so that it often cannot pay one."""

ACTIONS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["order", "promise", "promise", "spend", "end", "endow", "fill"]),
            st.sampled_from([ALICE, BOB]),
            st.integers(0, 1),
        ),
        max_size=4,
    ),
    min_size=BLOCKS,
    max_size=BLOCKS,
)
BITS = st.lists(st.booleans(), min_size=BLOCKS, max_size=BLOCKS)


@dataclass
class World:
    """The chain, what waits for a block, and what Alice has promised."""

    chain: MemoryChain
    waiting: list[bytes] = field(default_factory=list[bytes])
    given: list[tuple[Receipt, bytes, bytes, int]] = field(
        default_factory=list[tuple[Receipt, bytes, bytes, int]]
    )

    def act(self, what: str, who: bytes, extra: int) -> None:
        """Somebody does something."""
        chain = self.chain
        nonce = chain.runtime.account_nonce(chain.overlay(), who)
        match what:
            case "order" | "promise":
                order = self.order(who, nonce + extra)
                self.waiting.append(order)
                if what == "promise":
                    self.promise(order, who, nonce + extra)
            case "spend":
                self.waiting.append(chain.transfer(who, CHARLIE, POOR // 3, nonce=nonce))
            case "end":
                call = chain.call("Balances", "transfer_all", dest=to(CHARLIE), keep_alive=False)
                self.waiting.append(chain.sign(who, call, nonce=nonce + extra))
            case "endow":
                self.waiting.append(chain.transfer(CHARLIE, who, POOR // (1 + extra)))
            case _:
                call = chain.call("System", "remark", remark=bytes(2_200 + 300 * extra))
                self.waiting.append(chain.sign(CHARLIE, call))

    def order(self, who: bytes, nonce: int) -> bytes:
        """One that fails when it is called, so that its sender can end its account afterwards."""
        chain = self.chain
        now = chain.time_ms(chain.slot) // chain.runtime.constants.market_interval_ms
        call = chain.call(
            "Trading",
            "place_order",
            connection=HOMES[who],
            interval=now + 40,
            side=1,
            price_micro=150_000,
            quantity_wh=1,
        )
        return chain.sign(who, call, nonce=nonce)

    def promise(self, order: bytes, who: bytes, nonce: int) -> None:
        """Alice promises, unless another order with this nonce is promised."""
        head = self.chain.head.number
        for receipt, _, sender, used in self.given:
            if (sender, used) == (who, nonce) and receipt.promise.last > head:
                return
        self.given.append((promise_of(self.chain, HONEST, order, 4), order, who, nonce))

    def build(self, includes: bool) -> None:
        """The next block. Others than Alice may leave out everything."""
        chain, slot = self.chain, self.chain.slot + 1
        overlay, signatures = chain.overlay(), SignatureCache()
        number = chain.head.number + 1
        chain.runtime.initialize_block(overlay, chain.draft(slot))
        body = chain.runtime.inherents(chain.time_ms(slot))
        for extrinsic in body:
            chain.runtime.apply_extrinsic(overlay, extrinsic, signatures)
        is_honest = author_at(slot).public == HONEST.public
        promised = [
            order
            for receipt, order, _, _ in self.given
            if receipt.promise.head_number < number <= receipt.promise.last
        ]
        for extrinsic in [*(promised if is_honest else ()), *(self.waiting if includes else ())]:
            try:
                chain.runtime.apply_extrinsic(overlay, extrinsic, signatures)
            except InvalidTransaction:
                continue
            body.append(extrinsic)
        block = Block(chain.runtime.finalize_block(overlay), body)
        chain.append(block, overlay)
        chain.slot = slot
        if includes:
            self.waiting.clear()


@given(ACTIONS, BITS, BITS)
@settings(max_examples=25)
def test_an_honest_validator_is_never_convicted(
    actions: list[list[tuple[str, bytes, int]]], includes: list[bool], rich: list[bool]
) -> None:
    runtime = new_runtime(invariants=False, block_length_max=4_096)
    money = {who: RICH if rich[at] else POOR for at, who in enumerate(HOMES)}
    world = World(MemoryChain.new(runtime, genesis_sections({**money, CHARLIE: RICH})))

    for acts, is_taken in zip(actions, includes, strict=True):
        for act in acts:
            world.act(*act)
        world.build(is_taken)
    for _ in range(6):
        world.build(False)

    chain = world.chain
    runtime.bind(chain.overlay())
    for receipt, order, _, _ in world.given:
        promise = receipt.promise
        for block in range(promise.head_number + 1, promise.last + 1):
            evidence = evidence_of(chain, receipt, order, block)
            assert runtime.authorities.judge_receipt(evidence) is not None
