"""The ids that clients get for replies and their parts. Each ends in the id of the action that it belongs to.

So whatever a client sends back (a response id, an item, a tool call, the subject of its feedback) leads to the action,
in every protocol, and nothing needs to be remembered for it. Clients may rewrite an id, as OpenClaw does, which leaves
letters and digits only: the end of it is still the action's. A request's first action has the request's own id: the id
of a reply names both, and with them its other choices.
"""

from schemas.identity import new_id

NUM_ID_CHARS = len(new_id(0))


def reply_id(prefix: str, action_id: str) -> str:
    """The id of a reply, or of a part of it that `prefix` tells from the others ("resp_", "fc_0_" ...)."""
    return f"{prefix}{action_id}"


def tool_call_id(action_id: str, number: int) -> str:
    """The id of a reply's tool call: at most 40 characters, as OpenAI's API has them."""
    return reply_id(f"call_{number}_", action_id)


def action_of(given: str) -> str:
    """The id of the action that an id of ours names; of any other text, something that is no action's id."""
    return given.rpartition("-")[2].rpartition("_")[2][-NUM_ID_CHARS:]
