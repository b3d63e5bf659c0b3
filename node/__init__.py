"""The node: everything that happens in time. Tasks, disk, clock and keys live here."""
