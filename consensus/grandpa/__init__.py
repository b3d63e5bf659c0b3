"""GRANDPA, the finality gadget: rounds of votes that make a chain prefix final."""
