"""The local network: supervisor, scenarios, simulated homes, replay, data."""
