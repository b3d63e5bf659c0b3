"""Many nodes, one thread, one seed, virtual time."""
