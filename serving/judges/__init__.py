"""Judges: what a next state says of an action. One port (processors.ports.Judge), one module per judge."""
