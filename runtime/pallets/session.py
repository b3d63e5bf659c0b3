"""Session: the validators and their keys.

It alone writes the validators, Aura's authorities and GRANDPA's voters, in one order: the
validator at a place holds the session keys at that place.

Left out: rotation. The validators are those of the genesis, session 0.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from runtime import frame
from runtime.frame import (
    U32,
    AccountId,
    AuthorityId,
    FixedBytes,
    Pallet,
    StorageValue,
    Struct,
    api,
)
from runtime.pallets.aura import AUTHORITIES_MAX, Aura
from runtime.pallets.grandpa import Grandpa
from runtime.pallets.system import account_from_text
from runtime.primitives.scale import DecodeError

KeyTypeId = Annotated[bytes, FixedBytes(4)]
AURA_KEY_TYPE, GRANDPA_KEY_TYPE = b"aura", b"gran"


class SessionKeys(Struct, path="dret_runtime::SessionKeys"):
    """What a validator signs with."""

    aura: AuthorityId
    grandpa: AuthorityId


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

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`validators`: objects `account`, `aura` (sr25519 key), `grandpa` (ed25519 key)."""
        accounts: list[bytes] = []
        keys: list[SessionKeys] = []
        for entry in config["validators"]:
            accounts.append(account_from_text(entry["account"]))
            aura, grandpa = account_from_text(entry["aura"]), account_from_text(entry["grandpa"])
            keys.append(SessionKeys(aura, grandpa))
        if not 1 <= len(accounts) <= AUTHORITIES_MAX:
            raise ValueError(f"{len(accounts)} validators, expected 1 to {AUTHORITIES_MAX}")
        for name, values in (
            ("account", accounts),
            ("aura key", [key.aura for key in keys]),
            ("grandpa key", [key.grandpa for key in keys]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"two validators have the same {name}")
        self.validators.set(accounts)
        self.config.aura.authorities.set([key.aura for key in keys])
        self.config.grandpa.authorities.set([(key.grandpa, 1) for key in keys])

    @api("SessionKeys_decode_session_keys")
    def decode_session_keys(self, encoded: bytes) -> list[tuple[bytes, KeyTypeId]] | None:
        """The keys in an encoded `SessionKeys` with their types; None if it is none."""
        try:
            keys = SessionKeys.decode(encoded)
        except DecodeError:
            return None
        return [(keys.aura, AURA_KEY_TYPE), (keys.grandpa, GRANDPA_KEY_TYPE)]

    def check_invariants(self) -> None:
        """Accounts, authorities and voters are of one length."""
        count = len(self.validators.get())
        assert len(self.config.aura.authorities.get()) == count, "aura authorities"
        assert len(self.config.grandpa.authorities.get()) == count, "grandpa voters"

    # What other pallets ask.

    def author(self) -> AccountId | None:
        """The account of the block's author."""
        place, accounts = self.config.aura.author_index(), self.validators.get()
        return accounts[place] if place is not None and place < len(accounts) else None
