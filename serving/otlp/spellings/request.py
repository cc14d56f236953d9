"""What the GenAI conventions and OpenLLMetry spell alike: the model, and how it was to draw."""

from collections.abc import Iterable

from serving.otlp.spans import Attributes

_PARAMETERS = {
    "temperature": ("gen_ai.request.temperature",),
    "top_p": ("gen_ai.request.top_p",),
    "top_k": ("gen_ai.request.top_k",),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", "llm.frequency_penalty"),
    "presence_penalty": ("gen_ai.request.presence_penalty", "llm.presence_penalty"),
    "max_tokens": ("gen_ai.request.max_tokens", "gen_ai.request.max_completion_tokens"),
    "seed": ("gen_ai.request.seed",),
    "stop": ("gen_ai.request.stop_sequences", "llm.chat.stop_sequences"),
}


def first(attributes: Attributes, keys: Iterable[str]) -> object:
    """The value of the first key that has one."""
    return next((attributes[key] for key in keys if attributes.get(key) is not None), None)


def parameters_of(attributes: Attributes) -> dict[str, object]:
    """The parameters of a request, by OpenAI's names."""
    return {name: first(attributes, keys) for name, keys in _PARAMETERS.items()}


def model_of(attributes: Attributes) -> str:
    """The model that answered, or was asked."""
    named = first(attributes, ("gen_ai.response.model", "gen_ai.request.model"))
    return named if isinstance(named, str) else ""


def finish_reason_of(attributes: Attributes) -> str:
    """Why the first choice ended; "" where it is not said."""
    reasons = attributes.get("gen_ai.response.finish_reasons")
    return reasons[0] if isinstance(reasons, list) and reasons and isinstance(reasons[0], str) else ""
