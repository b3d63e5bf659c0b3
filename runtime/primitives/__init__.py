"""Types and pure functions that every other folder may import. They know no pallet and no state."""
