"""The spellings in which spans tell of model calls; one module each, and `registry` picks.

A module has `holds(span)`, whether the span tells words in this spelling, and `read(span)`, the `ModelCall`. To add
one, write these two and name the module in registry.py.
"""
