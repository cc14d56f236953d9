"""How long a gateway may take to stop, and who gets how much of it: requests, their recording, Kafka.

The supervisor kills what has not ended 10 s after it was told to.
"""

STOP_S = 8.0  # in all; the rest of the 10 s is for what lies between the parts
GRACE_S = int(STOP_S / 4)  # requests may end by themselves; whole seconds, for uvicorn
SETTLE_S = STOP_S / 2  # then they are left, and recorded as aborted
FLUSH_S = STOP_S - GRACE_S - SETTLE_S  # then Kafka may acknowledge what it was sent
