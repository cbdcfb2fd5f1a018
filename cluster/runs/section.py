"""What every part of a run file's tree is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
PositiveReal = Annotated[float, Field(gt=0)]
NotNegativeReal = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def annealed(weight: float, until_env_steps: int | None, env_steps: int) -> float:
    """Return a weight that falls linearly to 0 over so many environment steps, or stays where they are None."""
    return weight if until_env_steps is None else weight * max(0.0, 1.0 - env_steps / until_env_steps)


class Section(BaseModel):
    """A part of the tree: frozen, and refusing keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
