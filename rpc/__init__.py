"""The node's JSON-RPC door: Substrate's methods over HTTP and WebSocket."""
