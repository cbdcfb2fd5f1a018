"""What a simulated live teacher thinks: whether an action was good, and what a good one would have been."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hitl.by_name import find
from hitl.errors import ConfigError, InvalidRequest
from hitl.stages import ActionSpace
from hitl.teachers.live import approval
from hitl.tensors import Array

Observation = NDArray[np.float32]
"""Flat, [O]."""


@runtime_checkable
class Judge(Protocol):
    """Has opinions on actions."""

    def opinion(self, observation: Observation, action: Array, /) -> float:
        """Return what to think of an action, taken where the observation was made: -1 to 1, 0 is no opinion.

        A single integer is an array of shape ().
        """
        ...


@runtime_checkable
class Expert(Protocol):
    """Knows what to do."""

    def act(self, observation: Observation, /) -> Any:
        """Return an action of the task's action space."""
        ...


class ScoreJudge:
    """Compares an action with its alternatives by a hidden score; see `approval`."""

    def __init__(
        self,
        score: Callable[[Observation], NDArray[np.floating]],
        *,
        good_share: float,
        bad_share: float,
    ) -> None:
        """Take the score of each action, [A], as a function of the observation."""
        self._score, self._good_share, self._bad_share = score, good_share, bad_share

    def opinion(self, observation: Observation, action: Array, /) -> float:
        """See `Judge`."""
        score_A = self._score(observation)
        return approval(score_A, int(action), good_share=self._good_share, bad_share=self._bad_share)


class ExpertJudge:
    """Approves of what an expert would have done, and of nothing else."""

    def __init__(self, expert: Expert, space: ActionSpace, *, tolerance: float = 0.1) -> None:
        """Take an expert.

        Args:
            expert: knows better.
            space: of its actions.
            tolerance: numbers that differ by at most this share of their range are one action; where there are no
                bounds, by at most this.
        """
        self._expert, self._space = expert, space
        if space.low is not None and space.high is not None:
            width = np.asarray(space.high, np.float64) - np.asarray(space.low, np.float64)
            self._tolerance = tolerance * np.where(np.isfinite(width), width, 1.0)

    def wanted(self, observation: Observation) -> Array:
        """Return what the expert would do.

        Raises:
            ConfigError: it is none of the space's actions.
        """
        low = self._space.low
        action = np.asarray(self._expert.act(observation), None if low is None else low.dtype)
        try:
            self._space.check(action[None], f"{type(self._expert).__name__}.act")
        except InvalidRequest as error:
            raise ConfigError(str(error)) from error
        return action

    def agree(self, first: Array, second: Array) -> bool:
        """Return whether two actions are one."""
        if self._space.low is None:
            return np.array_equal(first, second)
        difference = np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64))
        return bool((difference <= self._tolerance).all())

    def opinion(self, observation: Observation, action: Array, /) -> float:
        """See `Judge`."""
        return 1.0 if self.agree(self.wanted(observation), action) else -1.0


def load_mind(name: str, **options: Any) -> Judge | Expert:
    """Make a judge or an expert by its name, whichever it is.

    Args:
        name: module:Class; the module is looked for in the working directory and on PYTHONPATH.
        options: that the class is called with.

    Raises:
        ConfigError: it cannot be imported or made, or is neither.
    """
    mind = _make(name, "judge", options)
    if not isinstance(mind, Judge | Expert):
        raise ConfigError(
            f"judge {name!r} has no opinions; give it a method opinion(observation, action) -> float, "
            "or act(observation) -> action"
        )
    return mind


def load_expert(name: str, **options: Any) -> Expert:
    """Make an expert by its name; see `load_mind`.

    Raises:
        ConfigError: it cannot be imported or made, or cannot act.
    """
    expert = _make(name, "expert", options)
    if not isinstance(expert, Expert):
        raise ConfigError(f"expert {name!r} cannot act; give it a method act(observation) -> action")
    return expert


def load_goal(name: str) -> Callable[[Observation], bool]:
    """Return a function that tells whether a state is wanted, by its name.

    Args:
        name: module:function; see `load_mind`.

    Raises:
        ConfigError: it cannot be imported, or is no function.
    """
    goal: Callable[[Observation], bool] = find(name, "goal", kind="function")
    if not callable(goal):
        raise ConfigError(f"goal {name!r} is no function; write goal(observation) -> bool")
    return goal


def _make(name: str, what: str, options: dict[str, Any]) -> object:
    made: Callable[..., object] = find(name, what, kind="Class")
    try:
        return made(**options)
    except Exception as error:
        raise ConfigError(
            f"{what} {name!r} cannot be made with {options}: {error}. Check the names and values"
        ) from error
