"""Decoders of foreign bytes under random input: see `targets` for what must hold."""
