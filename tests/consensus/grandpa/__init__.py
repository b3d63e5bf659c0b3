"""Tests of the finality gadget."""
