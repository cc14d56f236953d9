"""Hint extractors: one port (processors.ports.HintExtractor), one module per extractor."""
