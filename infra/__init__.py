"""Wiring: command line, settings, supervisor, Kafka, and the jobs that need several parts. Imported by none."""
