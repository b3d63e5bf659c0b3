"""What connections may wish of those they trade with."""

from typing import TYPE_CHECKING

from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.right_records import (
    CLASSES_ALL,
    POINTS_MAX,
    Preferences,
    PreferencesInvalid,
)

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


def check_preferences(market: "Trading", number: int, wishes: Preferences) -> None:
    """Refuse more points than everyone has, and partners and classes that are not there."""
    points = wishes.source_points + wishes.locality_points + wishes.partner_points
    partners = wishes.partners
    if (
        points > POINTS_MAX
        or wishes.sources & ~CLASSES_ALL
        or number == TRANSFORMER
        or number in partners
        or len(set(partners)) != len(partners)
        or any(market.config.registry.connection(partner) is None for partner in partners)
    ):
        raise PreferencesInvalid
