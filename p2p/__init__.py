"""The network: authenticated peers over libp2p, bounded messages, requests for blocks."""
