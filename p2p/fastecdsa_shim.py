"""Stands in for `fastecdsa`, which libp2p imports and never uses for what we do.

libp2p 0.8.1 imports it for secio's P-256 keys; it has no wheel and would need a compiler. We speak
Noise with ed25519 only. The names exist, every function refuses. It is always this shim that is
imported, also where the real package is installed, so that all machines run the same code.

Source: the imports in `libp2p/crypto/ecc.py` and `libp2p/crypto/key_exchange.py`.
"""

import sys
from types import ModuleType
from typing import NoReturn


def install() -> None:
    """Register the modules; must run before the first `import libp2p`."""
    package = _module("fastecdsa", "curve", "keys", "point", "encoding")
    package.__path__ = []
    encoding = _module("fastecdsa.encoding", "sec1", "util")
    encoding.__path__ = []
    _module("fastecdsa.curve", Curve=Curve, P256=Curve())
    _module("fastecdsa.point", Point=Point)
    _module(
        "fastecdsa.keys",
        PEMEncoder=Curve(),
        export_key=_refuse,
        gen_private_key=_refuse,
        get_public_key=_refuse,
    )
    _module("fastecdsa.encoding.sec1", SEC1Encoder=SEC1Encoder)
    _module("fastecdsa.encoding.util", int_bytelen=_refuse)
    for name in ("curve", "keys", "point", "encoding"):
        setattr(package, name, sys.modules[f"fastecdsa.{name}"])
    for name in ("sec1", "util"):
        setattr(encoding, name, sys.modules[f"fastecdsa.encoding.{name}"])


def _module(full_name: str, *_children: str, **names: object) -> ModuleType:
    module = ModuleType(full_name, __doc__)
    for name, value in names.items():
        setattr(module, name, value)
    sys.modules[full_name] = module
    return module


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise NotImplementedError("P-256 keys are not supported: only Noise with ed25519 is used")


class Curve:
    """An elliptic curve that nobody computes on."""


class Point:
    """A point that is nowhere on a curve."""

    __init__ = _refuse


class SEC1Encoder:
    """Encodes no keys."""

    encode_public_key = staticmethod(_refuse)
    decode_public_key = staticmethod(_refuse)
