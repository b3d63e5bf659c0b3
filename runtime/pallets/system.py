"""System: accounts, the block under execution, its events, and remarks.

Names, types and keys as Substrate's `frame_system`, because every client reads them. An account
exists while something provides for it: enough money (Balances), or this chain for the accounts of
its pallets. When the last provider is gone the account is removed with its nonce.

Invariant: the hashes of the last `block_hash_count` blocks and of the genesis are stored, no other.

Left out: code upgrades by extrinsic (`set_code`), writes by root, tasks, topics of events.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from msgspec.structs import replace

from runtime import frame
from runtime.frame import (
    U16,
    U32,
    U128,
    AccountId,
    AnyOrigin,
    Balance,
    Blake2_128Concat,
    BlockNumber,
    CannotLookup,
    Compact,
    DispatchInfo,
    Hash,
    MultiAddress,
    Named,
    Nonce,
    Pallet,
    Signed,
    StorageMap,
    StorageValue,
    Struct,
    Twox64Concat,
    call,
)
from runtime.frame.dispatch import DispatchFailure
from runtime.frame.types import EventRecords, Phase
from runtime.primitives.block import Digest, DigestItem
from runtime.primitives.crypto import ss58_decode
from runtime.primitives.extrinsic import account_of
from runtime.primitives.hashing import blake2_256
from runtime.version import RuntimeVersion

REMARK_WEIGHT = 5_000_000
REMARK_BYTE_WEIGHT = 2_000  # hashing, at half a gigabyte a second


def pallet_account(name: str) -> AccountId:
    """The account of a pallet, as Substrate derives it from a pallet id of eight bytes.

    No key belongs to it: only the pallet moves its money.
    """
    pallet_id = name.encode().ljust(8)
    assert len(pallet_id) == 8, "a pallet id has eight bytes"
    return (b"modl" + pallet_id).ljust(32, b"\0")


HOUSE = pallet_account("dr/house")
"""Counterparty of every fill of the auction: zero after each settlement."""

FEES = pallet_account("dr/fees")
"""Holds the fees of a block until it ends, then its author gets them."""

CONGESTION_RENT = pallet_account("dr/rent")
"""What congestion brought, earmarked for lower network fees."""

PAYOUTS = pallet_account("dr/payts")
"""Holds what waits to be paid out by the bank."""

LIQUIDITY_FUND = pallet_account("dr/fund")
"""Quotes both sides of the market by rule."""

PALLET_ACCOUNTS = (HOUSE, FEES, CONGESTION_RENT, PAYOUTS, LIQUIDITY_FUND)
"""Have a provider from genesis, so they are never removed whatever they hold."""


class ExtraFlags(Struct, path="pallet_balances::types::ExtraFlags", unnamed=True):
    """Substrate's marks of migrations; none on this chain."""

    bits: U128


class AccountData(Struct, path="pallet_balances::types::AccountData"):
    """The money of an account."""

    free: Balance
    reserved: Balance
    """Set aside by a pallet."""

    frozen: Balance
    """Always 0 on this chain."""

    flags: ExtraFlags


class AccountInfo(Struct, path="frame_system::AccountInfo"):
    """An account."""

    nonce: Nonce
    """How many extrinsics it has signed."""

    consumers: U32
    """How many things need it; while there are some it cannot be removed."""

    providers: U32
    """How many things let it exist."""

    sufficients: U32
    """As providers, for their own sake only; 0 on this chain."""

    data: AccountData


class LastRuntimeUpgradeInfo(Struct, path="frame_system::LastRuntimeUpgradeInfo"):
    """Under which version the state was last migrated."""

    spec_version: Compact[U32]
    spec_name: str


class ExtrinsicSuccess(frame.Event, index=0):
    """An extrinsic did what it said."""

    dispatch_info: DispatchInfo


class ExtrinsicFailed(frame.Event, index=1):
    """An extrinsic was rolled back; its fee is kept."""

    dispatch_error: DispatchFailure
    dispatch_info: DispatchInfo


class NewAccount(frame.Event, index=3):
    """An account came into being."""

    account: AccountId


class KilledAccount(frame.Event, index=4):
    """An account was removed."""

    account: AccountId


class Remarked(frame.Event, index=5):
    """A remark was made."""

    sender: AccountId
    hash: Hash


class Config(frame.Config):
    block_hash_count: BlockNumber
    """Mortal extrinsics can be this many blocks old at most."""

    version: RuntimeVersion
    """The version of the runtime."""

    SS58_prefix: Annotated[U16, Named("u16")]
    """The network of addresses."""


def weigh_remark(pallet: Pallet[Any], remark: bytes) -> int:
    """Picoseconds that a remark takes."""
    return REMARK_WEIGHT + REMARK_BYTE_WEIGHT * len(remark)


class System(Pallet[Config]):
    account: StorageMap[AccountId, AccountInfo, Blake2_128Concat]
    """All accounts."""

    extrinsic_count: StorageValue[U32 | None]
    """Extrinsics of the block so far; nothing between blocks, as the next one."""

    execution_phase: StorageValue[Phase | None]
    """Where in a block an event would be."""

    block_hash_: StorageMap[BlockNumber, Hash | None, Twox64Concat]
    """Hashes of recent blocks by number."""

    number: StorageValue[BlockNumber]
    """Number of the block."""

    parent_hash_: StorageValue[Hash]
    """Hash of the block before it."""

    digest: StorageValue[Digest]
    """Digest of the block: what its header began with, and what pallets added."""

    events: StorageValue[EventRecords]
    """What happened in the block."""

    event_count: StorageValue[U32]
    """How many events there are."""

    last_runtime_upgrade: StorageValue[LastRuntimeUpgradeInfo | None]
    """Under which version the state was last migrated."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Takes nothing from the chain specification."""
        for who in PALLET_ACCOUNTS:
            self.add_provider(who)
        self.upgrade_due()

    @call(0, weight=weigh_remark)
    def remark(self, who: AnyOrigin, remark: bytes) -> None:
        """Put some bytes on the chain; they do nothing."""

    @call(7, weight=weigh_remark)
    def remark_with_event(self, who: Signed, remark: bytes) -> None:
        """Put some bytes on the chain. Emits `Remarked` with their hash."""
        self.deposit_event(Remarked(who, blake2_256(remark)))

    def check_invariants(self) -> None:
        """Only recent hashes are kept, and that of the genesis."""
        number, count = self.number.get(), self.config.block_hash_count
        kept_hashes = list(self.block_hash_.keys())
        for kept in kept_hashes:
            is_recent = number - count <= kept < number
            assert is_recent or kept == 0, f"hash of block {kept} is kept"

    # The block under execution.

    def block_number(self) -> BlockNumber:
        """Number of the block."""
        return self.number.get()

    def parent_hash(self) -> Hash:
        """Hash of the block before it."""
        return self.parent_hash_.get()

    def block_digest(self) -> Digest:
        """The digest of the block so far."""
        return self.digest.get()

    def deposit_log(self, item: DigestItem) -> None:
        """Add something that consensus has to know to the block's digest."""
        self.digest.set(Digest([*self.digest.get().logs, item]))

    def block_hash(self, number: int) -> Hash | None:
        """The hash of a block before this one; None if it is not known any more."""
        return self.block_hash_[number]

    def begin_block(self, number: int, parent_hash: Hash, digest: Digest) -> None:
        """Make a block the current one; its parent's hash becomes known."""
        self.number.set(number)
        self.parent_hash_.set(parent_hash)
        self.digest.set(digest)
        self.block_hash_[number - 1] = parent_hash
        self.events.delete()
        self.event_count.delete()

    def end_block(self, events: bytes, event_count: int) -> Digest:
        """Keep the events of the block, encoded; the digest its header ends with."""
        self.events.set_encoded(events)
        self.event_count.set(event_count)
        oldest = self.number.get() - 1 - self.config.block_hash_count
        if oldest > 0:  # the genesis hash stays: every extrinsic is signed for it
            del self.block_hash_[oldest]
        return self.digest.get()

    def upgrade_due(self) -> bool:
        """Whether the state was last migrated under another version; from now on it is not."""
        version = self.config.version
        current = LastRuntimeUpgradeInfo(version.spec_version, version.spec_name)
        if self.last_runtime_upgrade.get() == current:
            return False
        self.last_runtime_upgrade.set(current)
        return True

    def extrinsic_succeeded(self, info: DispatchInfo) -> None:
        """Announce that an extrinsic did what it said."""
        self.deposit_event(ExtrinsicSuccess(info))

    def extrinsic_failed(self, failure: DispatchFailure, info: DispatchInfo) -> None:
        """Announce that an extrinsic was rolled back."""
        self.deposit_event(ExtrinsicFailed(failure, info))

    # Accounts.

    def info(self, who: AccountId) -> AccountInfo:
        """An account; all zero if it does not exist."""
        return self.account[who]

    def accounts(self) -> Iterator[tuple[AccountId, AccountInfo]]:
        """All accounts."""
        return self.account.items()

    def put(self, who: AccountId, before: AccountInfo, after: AccountInfo) -> None:
        """Store an account that was `before`, or remove it when nothing provides for it.

        Emits `NewAccount` or `KilledAccount` when it begins or ends.
        """
        existed = before.providers or before.sufficients
        if after.providers or after.sufficients:
            self.account[who] = after
            if not existed:
                self.deposit_event(NewAccount(who))
        elif existed:
            del self.account[who]
            self.deposit_event(KilledAccount(who))

    def add_provider(self, who: AccountId) -> None:
        """Let an account exist whatever it holds."""
        info = self.info(who)
        self.put(who, info, replace(info, providers=info.providers + 1))

    def account_key(self, who: AccountId) -> bytes:
        """The storage key of an account, by which proofs of it are read."""
        return self.account.key_of(who)

    def account_exists(self, who: AccountId) -> bool:
        """Whether something provides for an account."""
        info = self.account[who]
        return bool(info.providers or info.sufficients)

    def account_nonce(self, who: AccountId) -> Nonce:
        """How many extrinsics an account has signed."""
        return self.account[who].nonce

    def increment_nonce(self, who: AccountId) -> None:
        """Count an extrinsic of an account that exists."""
        info = self.account[who]
        self.account[who] = replace(info, nonce=info.nonce + 1)


def lookup(address: MultiAddress) -> AccountId:
    """The account an address names. Raises `CannotLookup`."""
    who = account_of(address)
    if who is None:
        raise CannotLookup
    return who


def account_from_text(text: str) -> AccountId:
    """An account as a genesis writes it: an SS58 address or 32 bytes in hexadecimal after 0x."""
    if not text.startswith("0x"):
        return ss58_decode(text)
    account = bytes.fromhex(text[2:])
    if len(account) != 32:
        raise ValueError(f"account {text} has {len(account)} bytes, expected 32")
    return account
