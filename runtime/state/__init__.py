"""State: keys and values under a Substrate trie root, with nested transactions over them."""
