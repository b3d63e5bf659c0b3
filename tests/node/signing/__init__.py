"""The signer: its rules, its protocol, its process, and the node's side of it."""
