"""Benchmarks: each is a ratio against a named alternative, measured in one run."""
