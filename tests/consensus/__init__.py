"""Tests of consensus: accounting against an oracle, directed cases, a simulated network."""
