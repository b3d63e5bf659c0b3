"""The runtime of this chain: its pallets, their indices, and what the node asks of them.

A runtime is a pure function of state and block. The state is handed in with each call, as an
overlay; nothing of it is kept between calls but what can be read again. Runtimes with equal
constants are equal; the constants are part of the metadata, whose hash is in the genesis.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from runtime.apis import RuntimeApis
from runtime.constants import Constants
from runtime.frame.assembly import ApiError, Assembly
from runtime.frame.declaration import declaration_of
from runtime.frame.dispatch import DispatchFailure, OriginKind
from runtime.frame.executive import Executive
from runtime.frame.extensions import BlockLimits, nonce_tag
from runtime.frame.extrinsics import Versions
from runtime.frame.metadata import METADATA_VERSIONS, encode_metadata
from runtime.frame.metadata_digest import ChainInfo, metadata_digest
from runtime.frame.pallet import Pallet
from runtime.frame.signatures import SignatureCache
from runtime.frame.validity import Validity
from runtime.pallets.aura import Aura
from runtime.pallets.aura import Config as AuraConfig
from runtime.pallets.authorities import Authorities
from runtime.pallets.authorities.config import Config as AuthoritiesConfig
from runtime.pallets.balances import Balances
from runtime.pallets.balances import Config as BalancesConfig
from runtime.pallets.consumption_metering import ConsumptionMetering
from runtime.pallets.consumption_metering.config import Config as ConsumptionMeteringConfig
from runtime.pallets.grandpa import Config as GrandpaConfig
from runtime.pallets.grandpa import Grandpa
from runtime.pallets.grid_balancing import Config as GridBalancingConfig
from runtime.pallets.grid_balancing import GridBalancing
from runtime.pallets.payments import Config as PaymentsConfig
from runtime.pallets.payments import Payments
from runtime.pallets.producer_registration import Config as ProducerRegistrationConfig
from runtime.pallets.producer_registration import ProducerRegistration
from runtime.pallets.session import Config as SessionConfig
from runtime.pallets.session import Session
from runtime.pallets.system import Config as SystemConfig
from runtime.pallets.system import System
from runtime.pallets.timestamp import Config as TimestampConfig
from runtime.pallets.timestamp import Timestamp
from runtime.pallets.trading import Trading
from runtime.pallets.trading.config import Config as TradingConfig
from runtime.pallets.transaction_payment import Config as TransactionPaymentConfig
from runtime.pallets.transaction_payment import TransactionPayment
from runtime.pallets.utility import Config as UtilityConfig
from runtime.pallets.utility import Utility
from runtime.past_orders import PastOrders
from runtime.primitives.block import Block, Header
from runtime.primitives.extrinsic import UncheckedExtrinsic, account_of, decode_extrinsic
from runtime.primitives.grandpa import VOTERS_MAX
from runtime.primitives.hashing import blake2_256
from runtime.primitives.recovery import RecoveryProof, Signers
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import AccountId, AuthorityId, Hash
from runtime.state.overlay import Overlay
from runtime.version import (
    CODE_KEY,
    SPEC_NAME,
    SPEC_VERSION,
    SPEC_VERSIONS,
    TOKEN_DECIMALS,
    TOKEN_SYMBOL,
    CodeInfo,
    runtime_version,
)

__all__ = [
    "CODE_KEY",
    "ApiError",
    "CodeInfo",
    "Constants",
    "Runtime",
    "SignatureCache",
    "UnknownVersion",
]

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

BASE_EXTRINSIC_WEIGHT = 125_000_000
"""125 us: decoding and verifying a signature, nonce, fee and events; its hash among the block's."""

BATCHED_CALLS_MAX = 1_024
"""A batch must fit into a block anyway; this bounds what is decoded before its weight is known."""

RECENT_INTERVALS = 8  # of the market's status
INHERENTS_MAX = 3  # the time, and one that proves something


PALLETS: Mapping[str, tuple[int, type[Pallet[Any]]]] = {
    "system": (0, System),
    "timestamp": (1, Timestamp),
    "aura": (2, Aura),
    "grandpa": (3, Grandpa),
    "session": (4, Session),
    "authorities": (5, Authorities),
    "balances": (6, Balances),
    "transaction_payment": (7, TransactionPayment),
    "utility": (8, Utility),
    "payments": (11, Payments),
    "grid_balancing": (23, GridBalancing),
    "producer_registration": (20, ProducerRegistration),
    "consumption_metering": (21, ConsumptionMetering),
    "trading": (22, Trading),
}
"""Attribute of `Runtime`, index (wire format) and class of each pallet, in the order of genesis."""


def own_apis(spec_version: int) -> frozenset[str]:
    """The runtime APIs that pallets offer in a version."""
    return frozenset(
        api.api_name
        for _, pallet in PALLETS.values()
        for api in declaration_of(pallet).at(spec_version).apis
    )


class UnknownVersion(Exception):
    """This program does not have the version of the runtime that a state asks for."""


class Runtime:
    """The pallets with their constants. `invariants` has them checked after each block."""

    def __init__(
        self, constants: Constants, invariants: bool = False, spec_version: int = SPEC_VERSION
    ) -> None:
        self.constants = constants
        self.version = runtime_version(own_apis(spec_version), spec_version)
        self._versions: dict[int, Runtime] = {spec_version: self}
        self._has_invariants = invariants
        c = constants
        self.system = System(SystemConfig(c.block_hash_count, self.version, c.ss58_prefix))
        self.aura = Aura(AuraConfig(self.system, c.slot_duration_ms))
        self.timestamp = Timestamp(TimestampConfig(self.aura, c.slot_duration_ms // 2))
        self.grandpa = Grandpa(GrandpaConfig(self.system, VOTERS_MAX))
        self.session = Session(SessionConfig(self.aura, self.grandpa))
        self.balances = Balances(BalancesConfig(self.system, c.existential_deposit))
        self.transaction_payment = TransactionPayment(
            TransactionPaymentConfig(
                self.balances, self.session, c.base_fee_nano, c.length_fee_nano, c.weight_fee_nano
            )
        )
        self.utility = Utility(UtilityConfig(BATCHED_CALLS_MAX))
        self.grid_balancing = GridBalancing(GridBalancingConfig())
        self.producer_registration = ProducerRegistration(
            ProducerRegistrationConfig(self.grid_balancing)
        )
        self.consumption_metering = ConsumptionMetering(
            ConsumptionMeteringConfig(
                self.timestamp,
                self.producer_registration,
                c.market_interval_ms,
                c.genesis_interval,
            )
        )
        self.payments = Payments(
            PaymentsConfig(self.timestamp, self.balances, c.market_interval_ms, c.genesis_interval)
        )
        self.trading = Trading(self._trading_config())
        self.trading.config.integrity()
        limits = BlockLimits(c.block_weight_max, c.block_length_max, BASE_EXTRINSIC_WEIGHT)
        self.orders = PastOrders(lambda: self._executive, self.trading, self.balances)
        self.authorities = Authorities(
            AuthoritiesConfig(
                self.system,
                self.timestamp,
                self.session,
                self.producer_registration,
                self.trading,
                self.payments,
                self.orders,
                limits,
                c.session_blocks,
                c.proposal_blocks,
                c.timelock_blocks,
                c.timelock_unanimous_blocks,
                c.emergency_blocks,
                c.heartbeat_sessions,
            )
        )
        self._pallets: dict[int, Pallet[Any]] = {
            index: getattr(self, name) for name, (index, _) in PALLETS.items()
        }
        self.assembly = Assembly(self._pallets, spec_version)
        self._executive = Executive(
            self.assembly,
            self.system,
            self.transaction_payment,
            limits,
            Versions(self.version.spec_version, self.version.transaction_version),
            self.metadata_digest,
        )
        self._apis = RuntimeApis(self, self._executive)
        self._metadata: dict[int, bytes] = {}
        self._code: bytes | None = None
        self._digest: Hash | None = None

    def _trading_config(self) -> TradingConfig:
        c = self.constants
        return TradingConfig(
            clock=self.timestamp,
            chain=self.system,
            currency=self.balances,
            registry=self.producer_registration,
            metering=self.consumption_metering,
            grid=self.grid_balancing,
            market_interval_ms=c.market_interval_ms,
            call_period_ms=c.call_period_ms,
            genesis_interval=c.genesis_interval,
            supplier_price=c.supplier_price,
            network_fee=c.network_fee,
            feed_in_price=c.feed_in_price,
            imbalance_price_max=c.imbalance_price_max,
            imbalance_price_min=c.imbalance_price_min,
            dual_imbalance=c.dual_imbalance,
            loss_price=c.loss_price,
            pool_fee=c.pool_fee,
            price_floor=c.price_floor,
            dispute_intervals=c.dispute_intervals,
            book_orders_max=c.book_orders_max,
            clearing_weight=c.clearing_weight,
            settlement_weight=c.settlement_weight,
        )

    def at(self, spec_version: int) -> "Runtime":
        """The runtime of a version. Raises `UnknownVersion` when this program has it not."""
        if spec_version not in SPEC_VERSIONS:
            has = f"{SPEC_VERSIONS[0]} to {SPEC_VERSIONS[-1]}"
            raise UnknownVersion(
                f"runtime version {spec_version} is asked for, this program has {has}"
            )
        known = self._versions.get(spec_version)
        if known is None:
            known = Runtime(self.constants, self._has_invariants, spec_version)
            self._versions[spec_version] = known
            known._versions = self._versions
        return known

    def of_code(self, code: bytes | None) -> "Runtime":
        """The runtime of a state, by what it has under `:code`: blocks on it run under this one.

        Raises `UnknownVersion` when this program does not have it.
        """
        if code == self.code():
            return self
        try:
            info = CodeInfo.decode(code or b"")
        except DecodeError as error:
            raise UnknownVersion(f"the state does not say its version: {error}") from error
        if info.spec_name != SPEC_NAME:
            raise UnknownVersion(f"the state is one of {info.spec_name!r}, not of {SPEC_NAME!r}")
        runtime = self.at(info.spec_version)
        if runtime.code() != code:
            raise UnknownVersion(
                f"runtime version {info.spec_version} of the state has the metadata "
                f"0x{info.metadata_hash.hex()}, this program's has others"
            )
        return runtime

    # --- blocks

    def initialize_block(self, overlay: Overlay, header: Header) -> None:
        """Begin a block on its parent's state; only number, parent and digest count.

        Raises `InvalidBlock`.
        """
        self._executive.initialize_block(overlay, header)

    def inherents(
        self, timestamp_ms: int, handoff: bytes | None = None, recovery: bytes | None = None
    ) -> list[bytes]:
        """The extrinsics that the author of a block puts first.

        `handoff` is the justification of the block in `open_handoff`, when the author has it.
        `recovery` is the `RecoveryProof` of the override that has the parent as its start; no
        handoff is open any more then.
        """
        calls = [self.assembly.encode_call("Timestamp", "set", now=timestamp_ms)]
        if recovery is not None:
            calls.append(self._override_call(recovery))
        elif handoff is not None:
            calls.append(
                self.assembly.encode_call("Grandpa", "note_handoff", justification=handoff)
            )
        return [UncheckedExtrinsic(None, call).encode() for call in calls]

    def recovery_of(self, extrinsics: Sequence[bytes]) -> bytes | None:
        """The `RecoveryProof` that a block carries; None if it carries none."""
        for extrinsic in extrinsics[:INHERENTS_MAX]:
            try:
                decoded = decode_extrinsic(extrinsic)
            except DecodeError:
                return None
            if decoded.signed is None and decoded.call[:2] == self._override_call(b"")[:2]:
                call: Any = self.assembly.decode_call(decoded.call)
                proof: bytes = call.call.proof
                return proof
        return None

    def _override_call(self, proof: bytes) -> bytes:
        return self.assembly.encode_call("Authorities", "apply_override", proof=proof)

    def recovery_signers(self, overlay: Overlay) -> Signers:
        """The members in a state, each with the account that signs overrides for it."""
        self.bind(overlay)
        return self.authorities.recovery_signers()

    def override_fault(self, overlay: Overlay, proof: RecoveryProof) -> str | None:
        """Why the block after a state could not carry an override; None if it could."""
        self.bind(overlay)
        return self.authorities.override_fault(proof)

    def open_handoff(self, overlay: Overlay) -> int | None:
        """The number of the block whose proof of finality the state waits for."""
        self.bind(overlay)
        handoff = self.grandpa.open_handoff.get()
        return None if handoff is None else handoff.number

    def apply_extrinsic(
        self, overlay: Overlay, extrinsic: bytes, signatures: SignatureCache
    ) -> DispatchFailure | None:
        """Put an extrinsic into the block; what its call failed with, if it did.

        Raises `InvalidTransaction`, and nothing has changed then.
        """
        return self._executive.apply_extrinsic(overlay, extrinsic, signatures)

    def finalize_block(self, overlay: Overlay) -> Header:
        """End the block; its header, without a seal."""
        header = self._executive.finalize_block(overlay)
        self.trading.kept_books.end_block(self.trading, header.state_root)
        if self._has_invariants:
            self.check_invariants(overlay)
        return header

    def execute_block(self, overlay: Overlay, block: Block, signatures: SignatureCache) -> None:
        """Execute a block on its parent's state. Raises `InvalidBlock`; drop the overlay then."""
        self._executive.execute_block(overlay, block, signatures)
        self.trading.kept_books.end_block(self.trading, block.header.state_root)
        if self._has_invariants:
            self.check_invariants(overlay)

    def validate_transaction(
        self, overlay: Overlay, extrinsic: bytes, signatures: SignatureCache, block_hash: Hash
    ) -> Validity:
        """Judge an extrinsic for the pool, as if the next block held it.

        `block_hash` is the hash of the block whose state `overlay` is. Raises `InvalidTransaction`.
        """
        return self._executive.validate_transaction(overlay, extrinsic, signatures, block_hash)

    def tags_of(self, extrinsic: bytes) -> list[bytes]:
        """The tags that an included extrinsic provided; none for an inherent."""
        try:
            decoded = decode_extrinsic(extrinsic)
            signed = decoded.signed
            if signed is None:
                call = self.assembly.decode_call(decoded.call)
                is_tagged = self.assembly.origin_of(call) is OriginKind.UNSIGNED
                return [self.assembly.tag_of(call)] if is_tagged else []
        except DecodeError:
            return []
        who = account_of(signed.address)
        return [] if who is None else [nonce_tag(who, signed.extra.nonce)]

    def timestamp_of(self, extrinsics: list[bytes]) -> int | None:
        """The time that a block's extrinsics tell; None if they do not."""
        return self._executive.timestamp_of(extrinsics)

    # --- reading a state

    def bind(self, overlay: Overlay) -> None:
        """Let the pallets read and write this state; for reading them directly."""
        self.assembly.bind(overlay)

    def aura_authorities(self, overlay: Overlay) -> list[AuthorityId]:
        """Who authors the next block on, in turn."""
        self.bind(overlay)
        return self.aura.authorities.get()

    def grandpa_authorities(self, overlay: Overlay) -> list[tuple[AuthorityId, int]]:
        """Who votes on finality, with their weights."""
        self.bind(overlay)
        return self.grandpa.authorities.get()

    def grandpa_set_id(self, overlay: Overlay) -> int:
        """The number of the voters' set."""
        self.bind(overlay)
        return self.grandpa.current_set_id.get()

    def account_nonce(self, overlay: Overlay, account: AccountId) -> int:
        """How many extrinsics an account has signed."""
        self.bind(overlay)
        return self.system.account_nonce(account)

    def market_status(self, overlay: Overlay) -> dict[str, Json]:
        """Totals of settlement, and the latest settled intervals, oldest first."""
        self.bind(overlay)
        totals = self.trading.totals.get()
        held = sum(info.data.free + info.data.reserved for _, info in self.system.accounts())
        return {
            "intervals_settled": totals.intervals_settled,
            "traded_wh": totals.traded_wh,
            "money_residual_nano": held - self.balances.total_issuance.get(),
            "energy_residual_wh": totals.energy_residual_wh,
            "recent": [self._interval_status(k) for k in self.trading.recent(RECENT_INTERVALS)],
        }

    def _interval_status(self, interval: int) -> Json:
        status: dict[str, Json] = {"interval": interval}
        record = self.trading.settlements[interval]
        if record is None:
            return status
        status["volume_wh"] = record.traded_wh
        if record.traded_wh:
            status["price_mean_micro"] = record.bid_value_nano // record.traded_wh
            status["price_min_micro"] = record.price_min_micro
            status["price_max_micro"] = record.price_max_micro
        if record.connections_buy_wh:
            status["local_share_ppm"] = 1_000_000 * record.local_wh // record.connections_buy_wh
        return status

    def check_invariants(self, overlay: Overlay) -> None:
        """Assert what the pallets promise about a state between blocks."""
        self.bind(overlay)
        for pallet in self._pallets.values():
            pallet.check_invariants()

    # --- what it is

    def genesis_sections(self) -> Mapping[str, Pallet[Any]]:
        """The pallets by the names of their sections in a chain specification.

        In the order in which they write: who asks another pallet comes after it.
        """
        return {name: self._pallets[index] for name, (index, _) in PALLETS.items()}

    def call_api(self, overlay: Overlay, name: str, data: bytes) -> bytes:
        """Call a runtime API function with SCALE arguments. Raises `ApiError`."""
        if self._apis.has(name):
            return self._apis.call(overlay, name, data)
        return self.assembly.call_api(overlay, name, data)

    @property
    def api_names(self) -> list[str]:
        """All runtime API functions, `Trait_function`."""
        return [function.name for group in self._apis.groups() for function in group.functions]

    def metadata(self, version: int = 14) -> bytes:
        """The metadata as clients read it."""
        if version not in self._metadata:
            groups = self._apis.groups()
            self._metadata[version] = encode_metadata(self.assembly, version, groups)
        return self._metadata[version]

    def metadata_without_docs(self, version: int) -> bytes:
        """The metadata as far as blocks and answers depend on them."""
        return encode_metadata(self.assembly, version, self._apis.groups(), with_docs=False)

    def metadata_digest(self) -> Hash:
        """What a signer commits to who says which metadata it saw (CheckMetadataHash)."""
        if self._digest is None:
            version, prefix = self.version, self.constants.ss58_prefix
            chain = ChainInfo(
                version.spec_name, version.spec_version, prefix, TOKEN_SYMBOL, TOKEN_DECIMALS
            )
            self._digest = metadata_digest(self.assembly, self._apis.groups(), chain)
        return self._digest

    def code(self) -> bytes:
        """What stands in the state under `:code`: it changes whenever the metadata do."""
        if self._code is None:
            # The newest version says all that the others do.
            metadata = self.metadata_without_docs(METADATA_VERSIONS[-1])
            info = CodeInfo(SPEC_NAME, self.version.spec_version, blake2_256(metadata))
            self._code = info.encode()
        return self._code
