"""What a household's own node does for it on the market and towards its devices."""
