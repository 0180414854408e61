"""Stands for Temporal's SDK, with what docs/python.md uses of it."""
