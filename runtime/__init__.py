"""The pure state transition of the chain: state and block in, state out, nothing else."""
