"""The vocabulary of the chain: what numbers and byte strings mean, and in which unit.

Every name is an annotation with a SCALE form; the values are plain `int` and `bytes`.

Units: energy Wh, power W, prices micro-DRT per kWh, money nano-DRT. Micro per kWh times Wh is nano,
so a price times an energy is money exactly, without rounding. Ratios are parts per million, times
are Unix milliseconds UTC. Import and export are two unsigned registers; what may be negative
says so in its name or its comment.
"""

from typing import Annotated

from runtime.primitives.scale import (
    I64,
    I128,
    U16,
    U32,
    U64,
    U128,
    FixedBytes,
    Named,
    TypePath,
)

# --- identity

Hash = Annotated[bytes, FixedBytes(32), TypePath("primitive_types::H256"), Named("H256")]
"""Blake2b-256 of something."""

AccountId = Annotated[
    bytes, FixedBytes(32), TypePath("sp_core::crypto::AccountId32"), Named("AccountId")
]
"""The public key that signs for an account (sr25519 or ed25519), or the hash of it (ecdsa)."""

AuthorityId = Annotated[bytes, FixedBytes(32), Named("AuthorityId")]
"""The public session key of a validator: sr25519 for Aura, ed25519 for GRANDPA."""

Signature = Annotated[bytes, FixedBytes(64), Named("Signature")]
"""An sr25519 or ed25519 signature."""

EngineId = Annotated[bytes, FixedBytes(4), Named("ConsensusEngineId")]
"""Four letters that tell which part of consensus a digest item is for."""

ZERO_HASH = bytes(32)
"""The parent of the genesis block, and the account of nobody."""

# --- chain

BlockNumber = Annotated[U32, Named("BlockNumber")]
"""Height above genesis, which is 0. Light clients require 32 bits of it."""

Nonce = Annotated[U32, Named("Nonce")]
"""How many extrinsics an account has signed."""

Slot = Annotated[U64, Named("Slot")]
"""Unix time in milliseconds divided by the slot duration."""

Moment = Annotated[U64, Named("Moment")]
"""Unix time in milliseconds, UTC."""

Round = Annotated[U64, Named("RoundNumber")]
"""A GRANDPA round, counted from 1 within an authority set."""

SetId = Annotated[U64, Named("SetId")]
"""Which GRANDPA authority set, counted from 0."""

# --- money

Balance = Annotated[U128, Named("Balance")]
"""Money in nano-DRT (1 DRT = 10^9)."""

SignedBalance = Annotated[I128, Named("SignedBalance")]
"""A difference of money in nano-DRT."""

PricePerKwh = Annotated[I64, Named("PricePerKwh")]
"""Micro-DRT per kWh, which is nano-DRT per Wh; energy can have a negative price."""

# --- energy

EnergyWh = Annotated[U64, Named("EnergyWh")]
"""Energy in Wh."""

SignedEnergyWh = Annotated[I64, Named("SignedEnergyWh")]
"""Energy in Wh with a direction: positive is fed in or exported, negative is drawn."""

PowerW = Annotated[U64, Named("PowerW")]
"""Power in W."""

SignedPowerW = Annotated[I64, Named("SignedPowerW")]
"""Power in W with a direction: positive is fed in or exported, negative is drawn."""

Ppm = Annotated[U32, Named("Ppm")]
"""A ratio in parts per million: 1 000 000 is one."""

CarbonMgPerKwh = Annotated[U64, Named("CarbonMgPerKwh")]
"""Carbon intensity in mg CO2e per kWh."""

# --- grid and market

BusIndex = Annotated[U16, Named("BusIndex")]
"""A node of the grid's tree; 0 is the medium-voltage side of the transformer."""

IntervalIndex = Annotated[U32, Named("IntervalIndex")]
"""A market interval: its start in Unix milliseconds divided by the interval's length."""

ConnectionId = Annotated[U32, Named("ConnectionId")]
"""A registered connection point of a participant to a bus."""

OrderId = Annotated[U64, Named("OrderId")]
"""An order; ids are given out in sequence and never reused."""
