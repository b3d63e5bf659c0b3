"""Slow, obvious twins of kernels and of the trie."""
