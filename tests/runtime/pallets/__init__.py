"""Tests of the pallets."""
