"""The pallets of the chain: one file per pallet, a folder where it is larger."""
