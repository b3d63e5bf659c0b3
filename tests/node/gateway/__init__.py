"""Tests of node.gateway."""
