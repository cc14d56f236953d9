"""The audit: which promises of the design a log keeps, as far as a log can show it.

Start reading at audit.py. index.py is what is remembered of each record, horizon.py what retention has deleted, checks/
one module per check, report.py what is found. AUDIT.md lists the checks, and what each of them catches.
"""

from infra.audit.audit import audit

__all__ = ["audit"]
