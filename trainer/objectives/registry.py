"""`ObjectiveConfig`: every training method that `[trainer.objective]` may name; each is one file of this folder.

A new method is a file with a frozen pydantic class that has `name` and the functions of `Objective`, and one more
member of the union below; the loop, the settings and the events stay as they are. A table without a name is about the
default method.
"""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from schemas.errors import SettingsError
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.combined import Combined
from trainer.objectives.distillation import TopK
from trainer.objectives.grpo import GRPO
from trainer.objectives.hybrid import Hybrid
from trainer.objectives.opd import OPD
from trainer.objectives.topk_distillation import TopKDistillation

DEFAULT = Hybrid()
METHODS = (BinaryRL, OPD, Combined, Hybrid, TopKDistillation, GRPO)


def _name(value: Any) -> Any:
    return value.get("name", DEFAULT.name) if isinstance(value, dict) else getattr(value, "name", None)


ObjectiveConfig = Annotated[
    Annotated[BinaryRL, Tag("binary_rl")]
    | Annotated[OPD, Tag("opd")]
    | Annotated[Combined, Tag("combined")]
    | Annotated[Hybrid, Tag("hybrid")]
    | Annotated[TopKDistillation, Tag("topk_distillation")]
    | Annotated[GRPO, Tag("grpo")],
    Discriminator(
        _name,
        custom_error_type="unknown_objective",
        custom_error_message="its name must be one of {known}",
        custom_error_context={"known": ", ".join(str(method.model_fields["name"].default) for method in METHODS)},
    ),
]


def check_vocabulary(objective: ObjectiveConfig, vocab_size: int) -> None:
    """Refuses a top k that the model cannot fill; call it once the model is known, before any pass.

    Raises:  SettingsError.
    """
    if isinstance(objective, TopK) and objective.top_k > vocab_size:
        message = (
            f"trainer.objective.top_k is {objective.top_k}, but the model has {vocab_size} tokens: set it to at most "
            f"that, or leave it out for {TopK().top_k}."
        )
        raise SettingsError(message)
