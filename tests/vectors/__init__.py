"""Known answers of other implementations, each with its source."""
