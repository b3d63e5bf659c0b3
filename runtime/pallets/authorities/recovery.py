"""Recovery: the members override a set of validators that cannot go on.

An override (`runtime.primitives.recovery`) comes in the block that follows its start. More than two
thirds of the members in the state of that block's parent have signed it, each with its recovery
key: the key of its account, or one that it keeps off line and has registered. No block has become
final for half a session. Then its validators take over at once, in Session, Aura and GRANDPA
alike, and are the members: who has been lost would otherwise be put back into the set step by step.

That the override does not go below what is final no runtime can see; every node checks it.

Invariant: recovery keys are those of members, each of one of them.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from runtime.frame import (
    AccountId,
    Inherent,
    MaxLen,
    Pallet,
    Signed,
    StorageValue,
    call,
)
from runtime.pallets.aura import slot_of
from runtime.pallets.authorities.config import Config
from runtime.pallets.authorities.errors import (
    InvalidOverride,
    KeyTaken,
    NotMember,
    NotStalled,
    TooFewSignatures,
    WrongRecoveryKey,
    WrongStart,
    WrongTime,
)
from runtime.pallets.authorities.events import (
    MemberAdded,
    MemberRemoved,
    Recovered,
    RecoveryKeySet,
)
from runtime.pallets.authorities.proposals import MEMBERS_MAX
from runtime.pallets.system import account_from_text
from runtime.primitives.block import Consensus
from runtime.primitives.extrinsic import MultiSignature, verify_signature
from runtime.primitives.recovery import (
    ENGINE_ID,
    BadOverride,
    Block,
    Override,
    RecoveryProof,
    Signers,
    check_form,
    check_signatures,
    key_change_payload,
    signers_of,
)
from runtime.primitives.scale import DecodeError

OVERRIDE_WEIGHT = 1_000_000_000  # ten writes of a set of 100, and two items of the digest
OVERRIDE_BYTE_WEIGHT = 1_600_000  # 150 us for the 97 bytes of a member's signature
RECOVERY_KEY_WEIGHT = 320_000_000  # a signature and two writes

RecoveryKeys = Annotated[list[tuple[AccountId, AccountId]], MaxLen(MEMBERS_MAX)]


def weigh_override(pallet: Pallet[Any], proof: bytes) -> int:
    """Picoseconds of checking and carrying out an override."""
    return OVERRIDE_WEIGHT + OVERRIDE_BYTE_WEIGHT * len(proof)


class Recovery(Pallet[Config]):
    """The part of Authorities by which a chain goes on without its majority."""

    recovery_keys: StorageValue[RecoveryKeys]
    """By rising member: who signs overrides for it, of those that have registered another key than
    that of their account."""

    @call(7, weight=weigh_override)
    def apply_override(self, _: Inherent, proof: bytes) -> None:
        """Put the validators of an override in the place of those who cannot go on.

        `proof` is a `RecoveryProof`. Put into the block after the override's start by its author.
        Emits `Recovered`. Fails with `InvalidOverride`, `WrongStart`, `WrongTime`, `NotStalled`,
        `KeyTaken` or `TooFewSignatures`, and such a block is invalid.
        """
        chain, session = self.config.chain, self.config.session
        try:
            found = RecoveryProof.decode(proof)
            check_form(found, chain.block_hash(0) or b"")
        except (DecodeError, BadOverride) as error:
            raise InvalidOverride from error
        override = found.override
        self._check_place(override)
        if not override.not_before <= self.config.clock.now() <= override.expires:
            raise WrongTime
        final_slot = slot_of(found.finalized_header.digest) or 0
        if session.config.aura.slot() - final_slot < self.stall_slots():
            raise NotStalled
        if not all(session.may_recover_with(who, keys) for who, keys in override.validators):
            raise KeyTaken
        try:
            check_signatures(found, self.recovery_signers())
        except BadOverride as error:
            raise TooFewSignatures from error
        self._take_over(override)

    @call(8, weight=RECOVERY_KEY_WEIGHT)
    def set_recovery_key(self, who: Signed, key: AccountId, signature: MultiSignature) -> None:
        """Let another key sign overrides for a member, one that it keeps off line.

        `signature` is by the key that does so now, over `key_change_payload`: who only steals the
        account cannot override. Emits `RecoveryKeySet`. Fails with `NotMember`, `KeyTaken` or
        `WrongRecoveryKey`.
        """
        signers = dict(self.recovery_signers())
        if who not in signers:
            raise NotMember
        if any(key == other for member, other in signers.items() if member != who):
            raise KeyTaken
        payload = key_change_payload(self.config.chain.block_hash(0) or b"", who, key)
        if not verify_signature(signature, payload, signers[who]):
            raise WrongRecoveryKey
        others = [entry for entry in self.recovery_keys.get() if entry[0] != who]
        self.recovery_keys.set(sorted([*others, (who, key)]))
        self.deposit_event(RecoveryKeySet(who, key))

    # What other parts of the pallet ask.

    def override_fault(self, proof: RecoveryProof) -> str | None:
        """Why the next block could not carry an override, whatever its time; None if it could."""
        session, override = self.config.session, proof.override
        expected = session.config.grandpa.set_id() + 1
        if override.set_id != expected:
            return f"it makes set {override.set_id}, expected {expected}"
        for who, keys in override.validators:
            if not session.may_recover_with(who, keys):
                return f"a key of 0x{who.hex()} is another account's, or was replaced before"
        try:
            check_signatures(proof, self.recovery_signers())
        except BadOverride as error:
            return str(error)
        return None

    def stall_slots(self) -> int:
        """For so many slots nothing has become final when the members may override."""
        return self.config.session_length // 2

    def recovery_signers(self) -> Signers:
        """The members, each with the account that signs overrides for it."""
        return signers_of(self.members_now(), dict(self.recovery_keys.get()))

    def begin_recovery_keys(self, config: Mapping[str, str]) -> None:
        """Take the recovery keys of a genesis. Raises `ValueError`."""
        members = self.members_now()
        keys = sorted(
            (account_from_text(member), account_from_text(key)) for member, key in config.items()
        )
        if any(member not in members for member, _ in keys):
            raise ValueError("recovery_keys names an account that is no member")
        self.recovery_keys.set(keys)

    def forget_recovery_key(self, who: AccountId) -> None:
        """Delete the recovery key of a member that has gone."""
        keys = self.recovery_keys.get()
        left = [entry for entry in keys if entry[0] != who]
        if left != keys:
            self.recovery_keys.set(left)

    def check_recovery_keys(self) -> None:
        """Assert that recovery keys are those of members, by rising member, each of one."""
        keys, members = self.recovery_keys.get(), self.members_now()
        owners = [member for member, _ in keys]
        assert owners == sorted(set(owners)), "recovery keys are out of order"
        assert all(member in members for member in owners), "a recovery key of no member"
        assert len({key for _, key in keys}) == len(keys), "a recovery key of two members"

    # What the pallet has.

    def members_now(self) -> list[AccountId]:
        """Who decides."""
        raise NotImplementedError

    def forget(self, who: AccountId) -> None:
        """Delete what is kept of a member that has gone."""
        raise NotImplementedError

    def make_members(self, accounts: list[AccountId]) -> None:
        """These are the members; none of them is a candidate any more."""
        raise NotImplementedError

    def forget_reports_of(self, oldest_before: int) -> None:
        """Delete the reports of a set that is not kept any more."""
        raise NotImplementedError

    # Steps.

    def _check_place(self, override: Override) -> None:
        """Raise `WrongStart` unless the override is for this block's parent and its voters."""
        chain, grandpa = self.config.chain, self.config.session.config.grandpa
        number = chain.block_number() - 1
        start = Block(chain.block_hash(number) or b"", number)
        final_hash = chain.block_hash(override.finalized.number)
        is_next = override.set_id == grandpa.set_id() + 1
        if override.start != start or override.finalized.hash != final_hash or not is_next:
            raise WrongStart

    def _take_over(self, override: Override) -> None:
        session, before = self.config.session, self.members_now()
        accounts = [who for who, _ in override.validators]
        item = Consensus(ENGINE_ID, override.digest())
        self.config.chain.deposit_log(item)
        oldest = session.oldest_set.get()
        session.recover(override.validators)
        self.forget_reports_of(oldest)
        self.make_members(accounts)
        for who in before:
            if who not in accounts:
                self.forget(who)
                self.deposit_event(MemberRemoved(who))
        for who in accounts:
            if who not in before:
                self.deposit_event(MemberAdded(who))
        self.deposit_event(Recovered(override.set_id, override.start.number))
