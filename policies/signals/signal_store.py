"""Gathers signals as they come, forgets those that were taken back or have expired, and hands out versions."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from policies.signals.signal_batch import SignalBatch
from policies.spaces import ACTION_SPACES, flat_dtype, flat_size, is_action_space

_LENGTH_UNIT = 8
"""Rows have a multiple of so many steps, so that their shape seldom changes."""
_FIRST_ROWS = 64
_FILL = {"policy_version_SL": -1}
"""What stands where there is no step; elsewhere 0."""


class SignalStore:
    """A version is a view of memory that is never written again, so that making one copies nothing."""

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        about_policy: bool,
        version: int = 0,
    ) -> None:
        """Begin without signals.

        Args:
            observation_space: before observations are laid flat.
            action_space: of the policy.
            about_policy: signals are about the policy that acted, so those on steps that others took do not count.
            version: of the empty store; those with signals have higher ones.

        Raises:
            TypeError: there is no policy for these spaces.
        """
        if not is_action_space(action_space):
            raise TypeError(f"no policy for the action space {action_space}; {ACTION_SPACES} work")
        self._about_policy = about_policy
        action_dtype = np.float32 if isinstance(action_space, spaces.Box) else np.int64
        self._columns: dict[str, NDArray[Any]] = {
            "observation_SLO": np.empty((0, 0, flat_size(observation_space)), flat_dtype(observation_space)),
            "action_SLA": np.empty((0, 0, *(action_space.shape or ())), action_dtype),
            "credit_SL": np.empty((0, 0), np.float32),
            "acted_SL": np.empty((0, 0), np.bool_),
            "begin_SL": np.empty((0, 0), np.bool_),
            "policy_version_SL": np.empty((0, 0), np.int64),
            "value_S": np.empty(0, np.float32),
            "number_S": np.empty(0, np.int64),
        }
        self._rows = self._came = 0
        self._number_of: dict[str, int | None] = {}
        """Of each signal; None: it never counts, or no longer."""
        self._newest, self._has_news = self._view(version), False
        self.expired = 0
        """Signals that were about a policy of too long ago."""
        self.not_policy = 0
        """Signals on steps none of which the policy took, where these do not count."""

    def __len__(self) -> int:
        return self._rows

    def add(
        self,
        *,
        key: str,
        value: float,
        observation_LO: ArrayLike,
        action_LA: ArrayLike,
        credit_L: ArrayLike,
        policy_version_L: ArrayLike,
        acted_L: ArrayLike | None = None,
        begin_L: ArrayLike | None = None,
    ) -> None:
        """Take a signal; one whose key is known changes nothing.

        Args:
            key: by which `retract` takes it back.
            value: what was said, in [-1, 1].
            observation_LO: flat, of consecutive steps: those with credit, and as many before them as a trace reaches.
            action_LA: what was done.
            credit_L: probability that the signal is about this step; adds up to at most 1.
            policy_version_L: of the policy that was there.
            acted_L: whether the policy chose the action; None: it always did.
            begin_L: whether an episode begins with the step; None: all steps are of one.

        Raises:
            ValueError: the arrays do not fit each other or the spaces, or have numbers that mean nothing.
        """
        credit = np.asarray(credit_L, np.float32)
        steps = len(credit)
        given = {
            "observation_SLO": np.asarray(observation_LO),
            "action_SLA": np.asarray(action_LA),
            "credit_SL": credit,
            "acted_SL": np.ones(steps, np.bool_) if acted_L is None else np.asarray(acted_L),
            "begin_SL": np.zeros(steps, np.bool_) if begin_L is None else np.asarray(begin_L),
            "policy_version_SL": np.asarray(policy_version_L),
        }
        self._check(given, value)
        if key in self._number_of:
            return
        self._came += 1
        if self._about_policy and not (credit[given["acted_SL"]] > 0).any():
            self._number_of[key] = None
            self.not_policy += 1
            return
        self._number_of[key] = self._came
        self._make_room(self._rows + 1, steps)
        for name, values in given.items():
            self._columns[name][self._rows, :steps] = values
        self._columns["value_S"][self._rows] = value
        self._columns["number_S"][self._rows] = self._came
        self._rows, self._has_news = self._rows + 1, True

    def retract(self, key: str) -> None:
        """Take a signal back, also if it has not come yet."""
        number = self._number_of.get(key)
        self._number_of[key] = None
        if number is not None:
            self._keep(self._columns["number_S"][: self._rows] != number)

    def drop_older(self, policy_version: int) -> int:
        """Let signals expire whose newest credited step is of an older policy; returns how many, and counts them.

        Signals about the best policy never expire.
        """
        if not self._about_policy:
            return 0
        before = self._rows
        self._keep(self._view(0).newest_version_S >= policy_version)
        expired = before - self._rows
        self.expired += expired
        return expired

    def batch(self) -> SignalBatch:
        """Return all signals that count: the same version as before where nothing has changed since."""
        if self._has_news:
            self._newest = self._view(self._newest.version + 1)
            self._has_news = False
        return self._newest

    def _check(self, given: dict[str, NDArray[Any]], value: float) -> None:
        if not -1 <= value <= 1:
            raise ValueError(f"a signal has the value {value}; give a number in [-1, 1]")
        steps = len(given["credit_SL"])
        for name, values in given.items():
            like, shown = self._columns[name], name.rpartition("_")[0]
            if values.shape != (steps, *like.shape[2:]) or not steps:
                raise ValueError(
                    f"{shown} has the shape {values.shape}, but {(steps or 1, *like.shape[2:])} is needed"
                )
            if not np.can_cast(values.dtype, like.dtype, "same_kind"):
                raise ValueError(f"{shown} is {values.dtype}, but {like.dtype} is needed")
            if not np.isfinite(values).all():
                raise ValueError(f"{shown} has numbers that are not finite")
        credit_L = given["credit_SL"]
        if (credit_L < 0).any() or not 0 < credit_L.sum() <= 1 + 1e-4:
            raise ValueError("the credit of a signal is a probability of each step, and some step has one")

    def _make_room(self, rows: int, length: int) -> None:
        room, longest = self._columns["credit_SL"].shape
        if rows <= room and length <= longest:
            return
        self._copy(
            slice(0, self._rows),
            rows=room if rows <= room else max(2 * room, _FIRST_ROWS),
            length=longest if length <= longest else -(-length // _LENGTH_UNIT) * _LENGTH_UNIT,
        )

    def _keep(self, kept_S: NDArray[np.bool_]) -> None:
        """Go on with some of the rows; versions that were handed out keep their memory."""
        if kept_S.all():
            return
        rows = np.flatnonzero(kept_S)
        room, longest = self._columns["credit_SL"].shape
        self._copy(rows, rows=room, length=longest)
        self._rows, self._has_news = len(rows), True

    def _copy(self, chosen: slice | NDArray[np.int64], *, rows: int, length: int) -> None:
        for name, old in self._columns.items():
            axes = (rows, length, *old.shape[2:]) if old.ndim > 1 else (rows,)
            values = old[chosen]
            self._columns[name] = np.full(axes, _FILL.get(name, 0), old.dtype)
            self._columns[name][tuple(slice(0, size) for size in values.shape)] = values

    def _view(self, version: int) -> SignalBatch:
        views = {name: column[: self._rows] for name, column in self._columns.items()}
        for view in views.values():
            view.flags.writeable = False
        return SignalBatch(version=version, **views)
