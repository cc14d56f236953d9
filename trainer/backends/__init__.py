"""Backends: where the forward and backward passes run."""
