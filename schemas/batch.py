"""The Arrow form of a batch: one row per sample, the BatchSealed event in the schema's metadata.

Arrow because the trainer reads token ids and log-probs as the buffers that Kafka delivered, without copying, and DuckDB
reads the same bytes. Legend: P prompt tokens, T response tokens, H hints.
"""

from typing import Any

import pyarrow as pa

EVENT_METADATA_KEY = b"nextstate.batch"  # JSON of the BatchSealed event, `id` and `time_ms` included

_IDS = pa.list_(pa.field("item", pa.int32(), nullable=False))
_SPAN = pa.struct([pa.field(name, pa.int32(), nullable=False) for name in ("version", "start", "end")])

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("action_id", pa.string(), nullable=False),
    pa.field("conversation_id", pa.string(), nullable=False),
    pa.field("tenant", pa.string(), nullable=False),
    pa.field("subject", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("episode_id", pa.string()),
    pa.field("group_id", pa.string()),
    pa.field("step", pa.int32()),
    pa.field("turn", pa.int32(), nullable=False),
    pa.field("prompt_ids", _IDS, nullable=False),  # [P]
    pa.field("response_ids", _IDS, nullable=False),  # [T]
    pa.field("response_logprobs", pa.list_(pa.field("item", pa.float32(), nullable=False)), nullable=False),  # [T]
    pa.field("logprob_origin", pa.string(), nullable=False),
    pa.field("token_versions", pa.list_(pa.field("item", _SPAN, nullable=False)), nullable=False),
    pa.field("temperature", pa.float32(), nullable=False),
    pa.field("reward", pa.float32()),
    pa.field("outcome", pa.float32()),
    pa.field("hints", pa.list_(pa.field("item", pa.string(), nullable=False)), nullable=False),  # [H]
    pa.field("teacher_prompt_ids", pa.list_(pa.field("item", _IDS, nullable=False)), nullable=False),  # [H][P_h]
]
SAMPLE_SCHEMA = pa.schema(_FIELDS)
# Name -> what a batch without it means.
LATER_COLUMNS: dict[str, Any] = {"outcome": None}
