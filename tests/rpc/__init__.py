"""Tests of the JSON-RPC door over real sockets."""
