"""What a client of a chain needs: its metadata, values as JSON, proofs that check a node."""
