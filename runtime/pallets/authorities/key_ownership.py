"""GRANDPA's runtime API for evidence: who held a key of a set, and handing a report in.

A chain of Substrate proves by its history of sessions who held a key. Here the sets of the last
sessions are in the state, so the proof names the set and the account, and only what is in the state
makes it true. Evidence is handed in by the call `report_voter`, which nobody has to sign.
"""

from typing import Any

from runtime.frame import AccountId, AuthorityId, SetId, Struct, api
from runtime.pallets.session import SetRecord
from runtime.primitives.grandpa import EquivocationProof
from runtime.primitives.scale import make_struct, one_of
from runtime.primitives.scale.shapes import TupleShape

_NONE: Any = make_struct("None", {}, index=0)
_SOME: Any = make_struct("Some", {"value": None}, index=1, unnamed=True)
# `Option<()>` has no form among Python's values, which have one None only.
_OPTIONAL_UNIT: Any = one_of("Option", [_NONE, _SOME], path="Option", params={"T": TupleShape()})


class KeyOwnership(Struct):
    """Whose key it was in a set."""

    set_id: SetId
    who: AccountId


class OpaqueKeyOwnershipProof(Struct, path="sp_consensus_grandpa::OpaqueKeyOwnershipProof"):
    """An encoded `KeyOwnership`."""

    encoded: bytes


class EvidenceApis:
    """The functions, for a pallet that knows the sets of validators."""

    def kept_set(self, set_id: SetId) -> SetRecord | None:
        """A set that is still in the state."""
        raise NotImplementedError

    @api("GrandpaApi_generate_key_ownership_proof")
    def generate_key_ownership_proof(
        self, set_id: SetId, authority_id: AuthorityId
    ) -> OpaqueKeyOwnershipProof | None:
        """Whose key it was in a set; none if it was nobody's, or the set is not kept any more."""
        record = self.kept_set(set_id)
        for who, keys in () if record is None else record.validators:
            if keys.grandpa == authority_id:
                return OpaqueKeyOwnershipProof(KeyOwnership(set_id, who).encode())
        return None

    @api(
        "GrandpaApi_submit_report_equivocation_unsigned_extrinsic",
        result=_OPTIONAL_UNIT,
    )
    def submit_report_equivocation(
        self, equivocation_proof: EquivocationProof, key_owner_proof: OpaqueKeyOwnershipProof
    ) -> object:
        """Always none, for nothing is handed in: a call of a runtime API changes nothing.

        Hand the evidence in by `Authorities.report_voter`, which needs no signature.
        """
        return _NONE()
