"""Objectives: the method, one short pure module each. Start reading at base.py."""
