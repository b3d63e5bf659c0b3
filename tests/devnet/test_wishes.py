"""Homes declare wishes, in the form in which the runtime reads calls."""

from typing import Any

from devnet import right_calls
from devnet.scenario import dev_chain_spec
from devnet.wishes import wishes_of
from runtime.pallets.trading.records import Side
from runtime.pallets.trading.right_records import EnergyClass, Preferences, RightOffer


def test_calls_about_rights_are_those_of_the_runtime() -> None:
    types = dev_chain_spec().runtime().assembly.types

    def encode(name: str, **arguments: Any) -> bytes:
        classes: tuple[Any, Any] = types.call_classes["Trading", name]
        outer, inner = classes
        encoded: bytes = outer(inner(**arguments)).encode()
        return encoded

    for offer in (
        RightOffer(Side.BID, EnergyClass.WIND, 300, -5, None),
        RightOffer(Side.OFFER, EnergyClass.UNSPECIFIED, 1 << 20, 1 << 60, 77),
    ):
        assert right_calls.offer_right(70, 9, offer) == encode(
            "offer_right", connection=70, interval=9, offer=offer
        )
        assert right_calls.take_right(70, 300, 9, offer) == encode(
            "take_right", connection=70, giver=300, interval=9, offer=offer
        )
    wishes = Preferences(3, (7, 300), 60, 30, 10)
    assert right_calls.declare_preferences(70, 3, (7, 300), (60, 30, 10)) == encode(
        "declare_preferences", connection=70, preferences=wishes
    )
    assert right_calls.declare_premium(70, 30_000, 10**12) == encode(
        "declare_premium", connection=70, premium_micro=30_000, budget_nano=10**12
    )


def test_about_half_of_the_homes_wish_something_and_always_the_same() -> None:
    wishing = [number for number in range(1, 101) if wishes_of(number)]

    assert 30 < len(wishing) < 70
    assert [wishes_of(number) for number in wishing] == [wishes_of(number) for number in wishing]
