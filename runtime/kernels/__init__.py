"""Compiled functions on integer arrays, each pair a typed door and its kernels.

`auction.py` and `tree_flow.py` are the doors: they check bounds, then call the functions of
`auction_kernel.py` and `tree_flow_kernel.py`. Only the latter import numba, and only when the first
clearing or sweep needs them, so that a command that computes nothing does not pay for it.
"""
