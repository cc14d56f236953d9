"""History again: recorded actions and next states through the processors as installed now, beside what was recorded.

    log ──► slice.py (which records) ──► run.py (the stages, in memory) ──► comparison.py ──► report.py
      └───► history.py (what was derived then: places, digests, judgements, batches) ──┘

Start reading at run.py. Nothing here writes to the log that it reads.
"""
