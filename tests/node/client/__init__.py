"""The client's side: metadata, values, proofs."""
