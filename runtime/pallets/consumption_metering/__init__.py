"""ConsumptionMetering: meters, their readings and what stands in for missing ones."""
