"""Session: the validators, their keys, and how both change.

It alone writes the validators, Aura's authorities and GRANDPA's voters, in one order: the
validator at a place holds the session keys at that place. A session is a number of blocks; at its
end the queued set takes over, and the set after it is queued: a step from the one that takes over
towards the one that is wanted, of at most f changes (one at least). So two sets that follow one
another share enough honest voters, and a validator knows a session ahead that it will be one.

At most one change waits for finality. If the last one still does at the end of a session, the
queued set waits for the next one.

Keys are an account's for ever once it has registered them: no two accounts have the same key, and
none comes back after it was replaced.

Invariant: accounts, authorities and voters are of one length, and as the record of the current set
says; the queued set is at most `changes_max` changes away from the current one.

Left out: who is wanted, which Authorities decides; giving up keys without new ones.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from runtime import frame
from runtime.frame import (
    U32,
    U64,
    AccountId,
    FixedBytes,
    InvalidBlock,
    MaxLen,
    Moment,
    Pallet,
    SetId,
    Signed,
    Slot,
    StorageMap,
    StorageValue,
    Struct,
    Twox64Concat,
    api,
    call,
)
from runtime.pallets.aura import AUTHORITIES_MAX, Aura
from runtime.pallets.grandpa import Grandpa
from runtime.pallets.system import account_from_text
from runtime.primitives.finality import faults_max
from runtime.primitives.scale import DecodeError
from runtime.primitives.session import SessionKeys, is_owned

SETS_KEPT = 400  # old sets that offences can still be proved against
TOLERANT_SET = 4  # the fewest validators of which one may fail
SET_KEYS_WEIGHT = 320_000_000  # two signatures and five writes

KeyTypeId = Annotated[bytes, FixedBytes(4)]
AURA_KEY_TYPE, GRANDPA_KEY_TYPE = b"aura", b"gran"
Validator = tuple[AccountId, SessionKeys]
Validators = Annotated[list[Validator], MaxLen(AUTHORITIES_MAX)]


class SetRecord(Struct):
    """A set of validators, kept so that offences can be proved when it is gone."""

    after_slot: Slot
    """The slot of the block that handed over to it; its first block is in a later one."""

    validators: Validators


class NewSession(frame.Event, index=0):
    """A session begins with the next block."""

    session_index: U32


class ChangeDeferred(frame.Event, index=1):
    """The queued set has to wait: the last change is not known to be final."""

    session_index: U32


class ValidatorDisabled(frame.Event, index=2):
    """A validator authors no more blocks in this session; its votes still count."""

    validator: AccountId


class KeysSet(frame.Event, index=3):
    """An account has registered session keys."""

    who: AccountId
    keys: SessionKeys


class InvalidProof(frame.Error, index=0):
    """The proof is not signed by both keys for the account that takes them."""


class DuplicatedKey(frame.Error, index=1):
    """A key belongs to another account, or was replaced before: keys never come back."""


class Config(frame.Config):
    aura: Aura
    """Block authoring: gets the authorities."""

    grandpa: Grandpa
    """Finality: gets the voters."""


class Session(Pallet[Config]):
    validators: StorageValue[list[AccountId]]
    """Their accounts; fees go there. A plain list in metadata: clients that name a block's author
    count it. As bounded as the keys, to which it is aligned."""

    current_index: StorageValue[U32]
    """Sessions since genesis."""

    queued_keys: StorageValue[Validators]
    """The set that takes over at the end of the session."""

    next_keys: StorageMap[AccountId, SessionKeys | None, Twox64Concat]
    """The keys an account has registered last."""

    key_owner: StorageMap[tuple[KeyTypeId, bytes], AccountId | None, Twox64Concat]
    """Whose every key is that was ever registered."""

    sets: StorageMap[SetId, SetRecord | None, Twox64Concat]
    """The current set and the last 400, by GRANDPA's numbers."""

    oldest_set: StorageValue[U64]
    """The first of them."""

    disabled_validators: StorageValue[list[U32]]
    """Places of the validators that author no blocks in this session, rising; at most f."""

    last_author: StorageValue[AccountId | None]
    """At the end of a session: who made the block, since the place is another one's already."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`validators`: objects `account`, `aura` (sr25519 key), `grandpa` (ed25519 key)."""
        validators: list[Validator] = []
        for entry in config["validators"]:
            account = account_from_text(entry["account"])
            aura, grandpa = account_from_text(entry["aura"]), account_from_text(entry["grandpa"])
            validators.append((account, SessionKeys(aura, grandpa)))
        if not 1 <= len(validators) <= AUTHORITIES_MAX:
            raise ValueError(f"{len(validators)} validators, expected 1 to {AUTHORITIES_MAX}")
        for name, values in (
            ("account", [account for account, _ in validators]),
            ("aura key", [keys.aura for _, keys in validators]),
            ("grandpa key", [keys.grandpa for _, keys in validators]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"two validators have the same {name}")
        self.validators.set([account for account, _ in validators])
        self.config.aura.authorities.set([keys.aura for _, keys in validators])
        self.config.grandpa.authorities.set([(keys.grandpa, 1) for _, keys in validators])
        self.queued_keys.set(validators)
        self.sets[0] = SetRecord(0, validators)
        for account, keys in validators:
            self._register(account, keys)

    def on_initialize(self, number: int) -> None:
        """Refuse the block of an author who is disabled."""
        if self.last_author.get() is not None:
            self.last_author.delete()
        place = self.config.aura.author_index()
        if place in self.disabled_validators.get():
            raise InvalidBlock(f"its author, validator {place}, is disabled in this session")

    @call(0, weight=SET_KEYS_WEIGHT)
    def set_keys(self, who: Signed, keys: SessionKeys, proof: bytes) -> None:
        """Register session keys; a validator's are in use two sessions later at the earliest.

        `proof` is that of `runtime.primitives.session`. Emits `KeysSet`. Fails with `InvalidProof`
        or `DuplicatedKey`.
        """
        self.check_keys(who, keys, proof)
        self.register(who, keys)

    @api("SessionKeys_decode_session_keys")
    def decode_session_keys(self, encoded: bytes) -> list[tuple[bytes, KeyTypeId]] | None:
        """The keys in an encoded `SessionKeys` with their types; None if it is none."""
        try:
            keys = SessionKeys.decode(encoded)
        except DecodeError:
            return None
        return [(keys.aura, AURA_KEY_TYPE), (keys.grandpa, GRANDPA_KEY_TYPE)]

    def check_invariants(self) -> None:
        """Accounts, authorities, voters and the record agree; the next set is near; f disabled."""
        current, queued = self.current_set(), self.queued_keys.get()
        accounts, keys = [who for who, _ in current], [keys for _, keys in current]
        assert self.validators.get() == accounts, "validators"
        assert self.config.aura.authorities.get() == [key.aura for key in keys], "authorities"
        voters = [key for key, _ in self.config.grandpa.authorities.get()]
        assert voters == [key.grandpa for key in keys], "voters"
        assert count_changes(current, queued) <= changes_max(len(current)), "queued set"
        assert len({key.aura for _, key in queued}) == len(queued), "queued aura keys"
        assert len(self.disabled_validators.get()) <= faults_max(len(current)), "disabled"

    # What other pallets ask.

    def author(self) -> AccountId | None:
        """The account of the block's author."""
        kept = self.last_author.get()
        if kept is not None:
            return kept
        place, accounts = self.config.aura.author_index(), self.validators.get()
        return accounts[place] if place is not None and place < len(accounts) else None

    def session_index(self) -> int:
        """The number of the session."""
        return self.current_index.get()

    def current_set(self) -> list[Validator]:
        """The validators with their keys, by place."""
        record = self.sets[self.config.grandpa.set_id()]
        assert record is not None, "the current set is kept"
        return record.validators

    def keys_of(self, who: AccountId) -> list[SessionKeys]:
        """The keys that speak for an account: those in use, and those it registered last."""
        found = [keys for account, keys in self.current_set() if account == who]
        registered = self.next_keys[who]
        return found if registered is None else [*found, registered]

    def slot(self) -> Slot:
        """The slot of the block."""
        return self.config.aura.slot()

    def end_of_slot(self, slot: int) -> Moment:
        """When a slot is over; the time of its block is before that."""
        return (slot + 1) * self.config.aura.config.slot_duration

    def has_changed(self) -> bool:
        """Whether another set has taken over in this block already."""
        record = self.sets[self.config.grandpa.set_id()]
        return record is not None and record.after_slot >= self.slot()

    def set_of_slot(self, slot: int) -> SetId | None:
        """The set that authored in a slot; None if it is not kept."""
        set_id = self.config.grandpa.set_id()
        while (record := self.sets[set_id]) is not None:
            if slot > record.after_slot:
                return set_id
            if set_id == 0:
                break
            set_id -= 1
        return None

    def end_session(self, wanted: Sequence[AccountId]) -> None:
        """In the last block of a session: the queued set takes over, the next one is queued.

        `wanted` are the accounts that should be validators; those without keys cannot be.
        """
        aura, grandpa = self.config.aura, self.config.grandpa
        self.last_author.set(self.author())
        index = self.current_index.get() + 1
        self.current_index.set(index)
        self.disabled_validators.set([])
        current, queued = self.current_set(), self.queued_keys.get()
        if queued != current:
            if grandpa.is_handing_over():
                self.deposit_event(ChangeDeferred(index))
            else:
                grandpa.change_authorities([keys.grandpa for _, keys in queued])
                aura.change_authorities([keys.aura for _, keys in queued])
                self.validators.set([account for account, _ in queued])
                self.sets[grandpa.set_id()] = SetRecord(aura.slot(), queued)
                self._forget_sets()
                current = queued
        goal = [(who, keys) for who in wanted if (keys := self.next_keys[who]) is not None]
        self.queued_keys.set(next_set(current, goal))
        self.deposit_event(NewSession(index))

    def disable(self, who: AccountId) -> bool:
        """Let a validator author no more blocks in this session; False when f are disabled.

        It is still counted and still votes: the threshold of a set never changes under way.
        """
        accounts, disabled = self.validators.get(), self.disabled_validators.get()
        if who not in accounts:
            return False
        place = accounts.index(who)
        if place in disabled:
            return True
        if len(disabled) >= faults_max(len(accounts)):
            return False
        self.disabled_validators.set(sorted([*disabled, place]))
        self.config.aura.tell_disabled(place)
        self.deposit_event(ValidatorDisabled(who))
        return True

    def check_keys(self, who: AccountId, keys: SessionKeys, proof: bytes) -> None:
        """Raise the error with which these keys cannot be registered."""
        if not is_owned(keys, who, proof):
            raise InvalidProof
        before = self.next_keys[who]
        for kind, key, old in (
            (AURA_KEY_TYPE, keys.aura, before and before.aura),
            (GRANDPA_KEY_TYPE, keys.grandpa, before and before.grandpa),
        ):
            if key != old and self.key_owner[kind, key] is not None:
                raise DuplicatedKey

    def register(self, who: AccountId, keys: SessionKeys) -> None:
        """Let an account have these session keys from its next set on."""
        self._register(who, keys)
        self.deposit_event(KeysSet(who, keys))

    def may_recover_with(self, who: AccountId, keys: SessionKeys) -> bool:
        """Whether keys are free, or are the account's own and were not replaced."""
        own = self.keys_of(who)
        return all(
            self.key_owner[kind, key] is None or key in mine
            for kind, key, mine in (
                (AURA_KEY_TYPE, keys.aura, [each.aura for each in own]),
                (GRANDPA_KEY_TYPE, keys.grandpa, [each.grandpa for each in own]),
            )
        )

    def recover(self, validators: Sequence[Validator]) -> None:
        """These are the validators from the next block on, whatever was queued.

        The members have overridden a set that could not go on: nobody waits for its proof.
        """
        aura, grandpa = self.config.aura, self.config.grandpa
        self.last_author.set(self.author())
        self.disabled_validators.set([])
        grandpa.recover([keys.grandpa for _, keys in validators])
        aura.change_authorities([keys.aura for _, keys in validators])
        self.validators.set([account for account, _ in validators])
        self.sets[grandpa.set_id()] = SetRecord(aura.slot(), list(validators))
        self.queued_keys.set(list(validators))
        for who, keys in validators:
            if self.next_keys[who] != keys:
                self.register(who, keys)
        self._forget_sets()

    def _register(self, who: AccountId, keys: SessionKeys) -> None:
        self.next_keys[who] = keys
        self.key_owner[AURA_KEY_TYPE, keys.aura] = who
        self.key_owner[GRANDPA_KEY_TYPE, keys.grandpa] = who

    def _forget_sets(self) -> None:
        oldest = self.oldest_set.get()
        if self.config.grandpa.set_id() - oldest > SETS_KEPT:
            del self.sets[oldest]
            self.oldest_set.set(oldest + 1)


def changes_max(validators: int) -> int:
    """How many validators a step may add, remove or give other keys."""
    return max(1, faults_max(validators))


def count_changes(before: Sequence[Validator], after: Sequence[Validator]) -> int:
    """How many validators were added, removed, or have other keys."""
    old, new = dict(before), dict(after)
    removed = sum(1 for who in old if who not in new)
    return removed + sum(1 for who, keys in new.items() if old.get(who) != keys)


def next_set(current: Sequence[Validator], goal: Sequence[Validator]) -> list[Validator]:
    """The set after `current` on the way to `goal`: kept ones keep their order, new ones follow.

    Who has to go goes first, unless no fault would be tolerated then and someone is to come; new
    keys come last. The set never becomes empty.
    """
    budget, wanted = changes_max(len(current)), dict(goal)
    known = {who for who, _ in current}
    leaving = [who for who, _ in current if who not in wanted]
    coming = [(who, keys) for who, keys in goal if who not in known]
    kept = list(current)
    while budget and (leaving or coming):
        is_tight = len(kept) <= TOLERANT_SET
        if coming and (is_tight or not leaving):
            kept.append(coming.pop(0))
        elif leaving and len(kept) > 1:
            gone = leaving.pop(0)
            kept = [(who, keys) for who, keys in kept if who != gone]
        else:
            break
        budget -= 1
    for place, (who, keys) in enumerate(kept):
        if budget and wanted.get(who, keys) != keys:
            kept[place] = (who, wanted[who])
            budget -= 1
    return kept
