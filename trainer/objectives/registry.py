"""`ObjectiveConfig`: every training method that `[trainer.objective]` may name; each is one file of this folder.

A new method is a file with a frozen pydantic class that has `name` and the functions of `Objective`, and one more
member of the union below (then discriminated by `name`); the loop, the settings and the events stay as they are.
"""

from trainer.objectives.hybrid import Hybrid

ObjectiveConfig = Hybrid
