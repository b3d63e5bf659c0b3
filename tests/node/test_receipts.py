"""A validator's promises: what it gives them for, and that nothing makes it forget them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from consensus import effects
from consensus.aura import author_of
from consensus.grandpa.records import SLOT_KEY
from node.chain import extrinsic_hash
from node.errors import StorageUnusable
from node.keystore import Keystore
from node.pool import InvalidExtrinsic, Pool, Validity
from node.receipts import FILE_NAME, PER_SENDER_MAX, STALE_SLOTS, ReceiptRefused, Receipts
from node.signing.local import LocalSigner
from node.signing.marks import Marks
from node.signing.port import KeysUnusable
from node.signing.signer import Signer
from node.signing.statements import Pledge
from runtime.frame.extensions import InvalidTransaction
from runtime.primitives.extrinsic import Era, SignedExtra, signed_extrinsic, signing_payload
from runtime.state.overlay import Overlay
from tests.support.accounts import pair_named
from tests.support.chains import to
from tests.support.runtimes import VALIDATORS
from tests.support.sealed_chain import SealedChain, small_spec

DRT = 10**9


class Clock:
    """Stands in a slot of the chain."""

    def __init__(self, chain: SealedChain) -> None:
        self._chain = chain
        self.ahead = 0

    def wall_ms(self) -> int:
        return (self._chain.slot + self.ahead) * self._chain.slot_ms

    def monotonic_ms(self) -> int:
        return 0


class Desk:
    """A validator's node: chain, pool and promises, which can be restarted."""

    def __init__(self, folder: Path, name: str | None = "Alice") -> None:
        self.folder = folder
        self.chain = SealedChain(folder / "db", small_spec())
        self.clock = Clock(self.chain)
        self.sent: list[bytes] = []
        self.name = name
        self.restart()
        self.chain.grow(2)

    def restart(self) -> None:
        """Forget all that is only in memory."""
        chain, runtime = self.chain.chain, self.chain.runtime

        def validate(extrinsic: bytes) -> Validity:
            overlay = Overlay(chain.best_state())
            try:
                return runtime.validate_transaction(
                    overlay, extrinsic, chain.signatures, chain.best_hash
                )
            except InvalidTransaction as error:
                raise InvalidExtrinsic(error.code_text) from error

        self.pool = Pool(validate, extrinsic_hash, runtime.tags_of, lambda: 0)
        self.signer: LocalSigner | None = None
        if self.name is not None:
            keystore = Keystore(self.folder / "keys")
            keystore.hold("aura", f"//{self.name}")
            self.signer = LocalSigner(keystore, Signer(keystore, Marks(self.folder)))
        self.receipts = Receipts(
            chain,
            self.pool,
            self.signer,
            cast(Any, self.clock),
            self.folder,
            lambda _, extrinsic: self.sent.append(extrinsic),
        )

    def call(self, ahead: int = 20, quantity_wh: int = 500) -> bytes:
        constants = self.chain.runtime.constants
        now = self.chain.slot * self.chain.slot_ms // constants.market_interval_ms
        return self.chain.runtime.assembly.encode_call(
            "Trading",
            "place_order",
            connection=1,
            interval=now + ahead,
            side=1,
            price_micro=150_000,
            quantity_wh=quantity_wh,
        )

    def order(self, nonce: int = 0, tip: int = 0, quantity_wh: int = 500) -> bytes:
        return self.signed("Alice", self.call(quantity_wh=quantity_wh), nonce, tip)

    def signed(self, name: str, call: bytes, nonce: int = 0, tip: int = 0) -> bytes:
        pair, version = pair_named(name), self.chain.runtime.version
        genesis = self.chain.chain.genesis_hash
        extra = SignedExtra(Era.immortal(), nonce, tip)
        payload = signing_payload(
            call, extra, version.spec_version, version.transaction_version, genesis, genesis
        )
        return signed_extrinsic(pair, call, extra, payload)

    def build(self, extrinsics: list[bytes] | None = None) -> list[bytes]:
        """The next block, in our slot whosever it is; its extrinsics but the inherents."""
        number = self.chain.chain.best.number + 1
        ready = self.pool.pending() if extrinsics is None else extrinsics
        header = self.chain.add(ready, promised=self.receipts.due(number))
        body = self.chain.chain.body(header.hash())
        assert body is not None
        self.pool.new_best(number, [(header.hash(), body)], [])
        return body[1:]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.chain.close()


# --- what is promised


async def test_a_promise_names_order_head_and_the_slots_that_count(desk: Desk) -> None:
    order = desk.order()

    receipt = await desk.receipts.give(order, 16)

    promise, best = receipt.promise, desk.chain.chain
    assert promise.order == extrinsic_hash(order)
    assert (promise.head_number, promise.head_hash) == (best.best.number, best.best_hash)
    assert (promise.blocks, promise.after_slot) == (16, desk.chain.slot)
    assert receipt.validator == pair_named("Alice").public
    assert receipt.is_signed(best.genesis_hash)
    assert desk.pool.pending() == desk.sent == [order]
    assert desk.receipts.count() == {"given": 1, "open": 1}


async def test_a_slot_that_was_begun_does_not_count_whatever_the_clock_says(desk: Desk) -> None:
    """A clock that is set back must not make a block that is on its way count."""
    slot = desk.chain.slot + 9
    stored = effects.PutVoter(SLOT_KEY, slot.to_bytes(8, "little"))
    desk.chain.chain.write(effects.Persist(0, (stored,), is_synced=True))

    assert (await desk.receipts.give(desk.order(), 16)).promise.after_slot == slot


async def test_asked_again_it_is_the_same_promise(desk: Desk) -> None:
    order = desk.order()
    first = await desk.receipts.give(order, 16)
    desk.chain.grow(1)

    assert (await desk.receipts.give(order, 8)).promise == first.promise
    assert desk.receipts.count() == {"given": 1, "open": 1}


async def test_an_order_that_a_peer_sent_is_promised_too(desk: Desk) -> None:
    order = desk.order()
    desk.pool.submit(order)

    assert (await desk.receipts.give(order, 16)).promise.order == extrinsic_hash(order)
    assert desk.sent == []


async def test_an_order_behind_one_in_the_pool_is_promised(desk: Desk) -> None:
    desk.pool.submit(desk.order())

    order = desk.order(nonce=1)

    assert (await desk.receipts.give(order, 16)).promise.order == extrinsic_hash(order)


# --- what is not


async def refusal(desk: Desk, extrinsic: bytes) -> str:
    with pytest.raises(ReceiptRefused) as found:
        await desk.receipts.give(extrinsic, 16)
    assert desk.receipts.count()["given"] in (0, PER_SENDER_MAX, 1)
    return str(found.value)


async def test_of_two_orders_with_one_nonce_only_the_first_is_promised(desk: Desk) -> None:
    await desk.receipts.give(desk.order(), 16)

    assert "nonce 0 of this account is promised" in await refusal(desk, desk.order(tip=5))


async def test_a_nonce_is_free_again_when_its_promise_is_over(desk: Desk) -> None:
    await desk.receipts.give(desk.order(), 1)
    desk.chain.grow(2)  # by others, who leave it out
    desk.chain.finalize()

    assert (await desk.receipts.give(desk.order(tip=5), 1)).promise.blocks == 1


async def test_an_account_has_eight_promises_at_a_time(desk: Desk) -> None:
    for nonce in range(PER_SENDER_MAX):
        await desk.receipts.give(desk.order(nonce), 16)

    assert "8 of them of this account" in await refusal(desk, desk.order(PER_SENDER_MAX))


async def test_an_order_that_misses_an_earlier_one_is_not_promised(desk: Desk) -> None:
    assert "an earlier extrinsic of its account is missing" in await refusal(
        desk, desk.order(nonce=1)
    )


@pytest.mark.parametrize("what", ["a transfer", "a batch of orders", "rubbish"])
async def test_only_orders_are_promised(desk: Desk, what: str) -> None:
    assembly = desk.chain.runtime.assembly
    calls = {
        "a transfer": assembly.encode_call(
            "Balances", "transfer_keep_alive", dest=to(pair_named("Bob").account), value=DRT
        ),
        "a batch of orders": assembly.encode_call(
            "Utility", "batch", calls=[assembly.decode_call(desk.call())]
        ),
    }
    extrinsic = desk.signed("Alice", calls[what]) if what in calls else b"\x08\x84\x00"

    assert "Receipts are for orders" in await refusal(desk, extrinsic)
    assert desk.pool.pending() == []


async def test_a_node_that_makes_no_blocks_promises_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path, name=None)

    assert "makes no blocks" in await refusal(desk, desk.order())
    desk.chain.close()


async def test_a_node_whose_key_is_no_authoritys_promises_no_blocks(tmp_path: Path) -> None:
    desk = Desk(tmp_path, name="Eve")

    assert "None of this node's keys" in await refusal(desk, desk.order())
    desk.chain.close()


async def test_a_node_that_has_not_caught_up_promises_nothing(desk: Desk) -> None:
    desk.clock.ahead = STALE_SLOTS + 1

    assert f"{STALE_SLOTS + 1} slots old" in await refusal(desk, desk.order())


async def test_what_cannot_be_written_down_is_not_promised(desk: Desk) -> None:
    (desk.folder / f"{FILE_NAME}.tmp").mkdir()  # in the way of the file

    assert "cannot be written" in await refusal(desk, desk.order())
    assert desk.receipts.due(desk.chain.chain.best.number + 1) == []


async def test_promises_that_cannot_be_read_stop_the_node(desk: Desk) -> None:
    await desk.receipts.give(desk.order(), 16)
    (desk.folder / FILE_NAME).write_bytes(b"\xff")

    with pytest.raises(StorageUnusable, match="cannot be read"):
        desk.restart()


async def test_a_promise_that_could_not_be_signed_is_kept_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signature may have left the signer when the answer was lost."""
    order = desk.order()

    async def lost(public: bytes, pledge: Pledge) -> bytes:
        raise KeysUnusable("The signer does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(desk.signer, "sign_pledge", lost)
        with pytest.raises(ReceiptRefused, match="does not answer"):
            await desk.receipts.give(order, 16)

    assert desk.receipts.due(desk.chain.chain.best.number + 1) == [(extrinsic_hash(order), order)]
    assert (await desk.receipts.give(order, 16)).is_signed(desk.chain.chain.genesis_hash)


# --- how it is kept


async def test_a_promise_is_for_the_blocks_it_names(desk: Desk) -> None:
    order = desk.order()
    head = (await desk.receipts.give(order, 3)).promise.head_number

    promised = [number for number in range(head + 6) if desk.receipts.due(number)]

    assert promised == [head + 1, head + 2, head + 3]


async def test_a_promised_order_comes_first_whatever_others_pay(desk: Desk) -> None:
    promised = desk.order()
    await desk.receipts.give(promised, 16)
    remark = desk.chain.runtime.assembly.encode_call("System", "remark", remark=b"me first")
    rich = desk.signed("Bob", remark, tip=10 * DRT)
    desk.pool.submit(rich)

    assert desk.build() == [promised, rich]


async def test_a_restarted_node_still_brings_in_what_it_promised(desk: Desk) -> None:
    promised = desk.order()
    await desk.receipts.give(promised, 16)

    desk.restart()

    assert desk.pool.pending() == []
    assert desk.build() == [promised]


async def test_a_promise_outlives_what_the_pool_does_with_the_order(desk: Desk) -> None:
    promised = desk.order()
    digest = extrinsic_hash(promised)
    await desk.receipts.give(promised, 16)
    desk.pool.reject(digest)

    assert desk.build() == [promised]


async def test_a_promise_outlives_that_its_sender_would_rather_have_another_one(desk: Desk) -> None:
    promised, dearer = desk.order(), desk.order(tip=DRT)
    await desk.receipts.give(promised, 16)
    desk.pool.submit(dearer)
    assert desk.pool.pending() == [dearer]

    number = desk.chain.chain.best.number + 1
    rejected: list[bytes] = []
    built = desk.chain.chain.build(
        next_build(desk), desk_ready(desk), rejected.append, lambda: 0, desk.receipts.due(number)
    )

    assert list(built.extrinsics[1:]) == [promised]
    assert rejected == [extrinsic_hash(dearer)]


async def test_the_deadline_of_a_block_is_not_one_of_promises(desk: Desk) -> None:
    promised = desk.order()
    await desk.receipts.give(promised, 16)
    remark = desk.chain.runtime.assembly.encode_call("System", "remark", remark=b"too late")
    desk.pool.submit(desk.signed("Bob", remark))
    number = desk.chain.chain.best.number + 1

    built = desk.chain.chain.build(
        next_build(desk), desk_ready(desk), lambda _: None, lambda: 99, desk.receipts.due(number)
    )

    assert list(built.extrinsics[1:]) == [promised]


async def test_a_promised_order_that_is_in_already_is_no_trouble(desk: Desk) -> None:
    promised = desk.order()
    await desk.receipts.give(promised, 16)
    assert desk.build() == [promised]

    assert desk.build() == []


def next_build(desk: Desk) -> effects.Build:
    """What consensus asks for in the next slot."""
    from consensus import aura

    chain, slot = desk.chain.chain, desk.chain.slot + 1
    assert author_of(slot, [pair_named(name).public for name in VALIDATORS]) is not None
    return effects.Build(
        slot,
        chain.best_hash,
        chain.best.number + 1,
        aura.pre_digest(slot),
        slot * desk.chain.slot_ms,
        50,
    )


def desk_ready(desk: Desk) -> Iterator[tuple[bytes, bytes]]:
    return ((entry.hash, entry.extrinsic) for entry in desk.pool.ready())
