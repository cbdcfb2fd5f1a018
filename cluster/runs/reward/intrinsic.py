"""The reward before there is one, in a run file."""

from typing import Any, Literal

from pydantic import ValidationError, ValidatorFunctionWrapHandler, field_validator

from cluster.runs.section import Positive, Section


class IntrinsicConfig(Section):
    """Exploration of states unlike those seen before (reward.sources.intrinsic); see docs/exploration.md."""

    until: Literal["first_version", "always"] | Positive = "first_version"
    """first_version: only before the reward model's first version; always: beside the other sources; a number: for
    so many environment steps. Where no reward is learnt, first_version never comes."""
    neighbours: Positive = 5
    """Novel is a state that is far from the so-manieth nearest of those seen."""
    states: Positive = 8192
    """States that are kept to compare with, a uniform sample of all that were seen."""

    @field_validator("until", mode="wrap")
    @classmethod
    def _said_at_once(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            message = (
                f"{value!r} is neither first_version nor always nor a number of environment steps above 0"
            )
            raise ValueError(message) from None
