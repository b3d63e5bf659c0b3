"""Tests of the state: trie, overlay, backends."""
