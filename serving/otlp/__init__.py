"""OTLP/HTTP: model calls that somebody else served, told by OpenTelemetry. Start reading at receiver.py."""
