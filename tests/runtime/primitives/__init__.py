"""Tests of the primitives: codec, hashes, keys, blocks, extrinsics and votes."""
