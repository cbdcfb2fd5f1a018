"""What an expert did or would have done, aggregated over rounds, in immutable versions.

Source of the aggregation: Ross, Gordon and Bagnell 2011, arXiv:1011.0686, algorithm 3.1.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from policies.experience import BoolArray, FloatArray, ObservationArray
from policies.spaces import ACTION_SPACES, flat_dtype, flat_size, is_action_space
from policies.splits import is_heldout


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """One version of the labels, oldest first; its arrays are read-only."""

    version: int
    observation_BO: ObservationArray
    """Flat, as `policies.spaces` lays them."""
    action_BA: NDArray[np.generic]
    """The expert's: int64[B] (Discrete), int64[B, A] (MultiDiscrete) or float32[B, A] (Box)."""
    weight_B: FloatArray
    """How much each counts, from 0."""
    heldout_B: BoolArray
    """Judges the policy and never trains it."""

    def __len__(self) -> int:
        return len(self.weight_B)

    @property
    def training_B(self) -> BoolArray:
        """Those that train the policy."""
        return (self.weight_B > 0) & ~self.heldout_B


class LabelStore:
    """Gathers labels as they come and hands out versions of all that it has.

    A version is a view of memory that is never written again, so that making one copies nothing. What is taken back
    later is left out by filling a new store, which goes on from the old one's version.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        heldout_share: float = 0.1,
        most_labels: int | None = None,
        version: int = 0,
    ) -> None:
        """Begin without labels.

        Args:
            observation_space: before observations are laid flat.
            action_space: of the policy.
            heldout_share: of groups that only judge, in [0, 1).
            most_labels: that are kept; the oldest go first. None: all are.
            version: of the empty store; those with labels have higher ones.

        Raises:
            TypeError: there is no policy for these spaces.
            ValueError: the share or the limit is out of its range.
        """
        if not is_action_space(action_space):
            raise TypeError(f"no policy for the action space {action_space}; {ACTION_SPACES} work")
        if not 0 <= heldout_share < 1:
            raise ValueError(f"heldout_share is {heldout_share}; give a number in [0, 1)")
        if most_labels is not None and most_labels < 1:
            raise ValueError(f"most_labels is {most_labels}; give 1 or more, or None to keep all labels")
        self._action_space = action_space
        self._heldout_share, self._most = heldout_share, most_labels
        action_dtype = np.float32 if isinstance(action_space, spaces.Box) else np.int64
        shape = action_space.shape or ()
        self._columns: list[NDArray[Any]] = [
            np.empty((0, flat_size(observation_space)), flat_dtype(observation_space)),
            np.empty((0, *shape), action_dtype),
            np.empty(0, np.float32),
            np.empty(0, np.bool_),
            np.empty(0, np.int64),
        ]
        self._part_of: dict[str, int] = {}
        self._parts = 0
        self._begin = self._end = 0
        self._newest = self._view(version)
        self._has_news = False
        self.dropped = 0
        """Labels that had to go because there were more than `most_labels`."""

    def add(
        self,
        observation_BO: ArrayLike,
        action_BA: ArrayLike,
        *,
        group: str,
        weight_B: ArrayLike | None = None,
        key: str | None = None,
    ) -> None:
        """Take a part, of any number of labels; all or nothing.

        Args:
            observation_BO: flat.
            action_BA: the expert's.
            group: id of what is held out or trained on together, such as an episode.
            weight_B: how much each counts, from 0; None: 1.
            key: by which `retract` takes the part back; a part whose key is known changes nothing.

        Raises:
            ValueError: the arrays do not fit each other or the spaces, or have numbers that are not finite.
        """
        observation, action = np.asarray(observation_BO), np.asarray(action_BA)
        weight = np.ones(len(action), np.float32) if weight_B is None else np.asarray(weight_B)
        for name, values, column in zip(
            ("observations", "actions", "weights"), (observation, action, weight), self._columns, strict=False
        ):
            _check(name, values, rows=len(action), like=column)
        self._check_actions(action)
        if (weight < 0).any():
            raise ValueError("a label has a weight below 0; give 0 to one that must not count")
        if not len(action) or key in self._part_of:
            return
        self._parts += 1
        if key is not None:
            self._part_of[key] = self._parts
        heldout = np.full(len(action), is_heldout(group, self._heldout_share))
        self._append(observation, action, weight, heldout, np.full(len(action), self._parts))

    def retract(self, key: str) -> None:
        """Take a part back, also if it has not come yet."""
        part = self._part_of.get(key)
        self._part_of[key] = 0
        if not part:
            return
        live = slice(self._begin, self._end)
        kept = self._columns[-1][live] != part
        # Versions that were handed out keep their memory.
        self._columns = [column[live][kept] for column in self._columns]
        self._begin, self._end, self._has_news = 0, int(kept.sum()), True

    def without_keys(self) -> Labels:
        """Return the newest version without the parts that have a key: whoever gave these gives them again."""
        keyed = [part for part in self._part_of.values() if part]
        stays = ~np.isin(self._columns[-1][self._begin : self._end], keyed)
        newest = self.labels()
        return Labels(
            version=newest.version,
            observation_BO=newest.observation_BO[stays],
            action_BA=newest.action_BA[stays],
            weight_B=newest.weight_B[stays],
            heldout_B=newest.heldout_B[stays],
        )

    def resume(self, labels: Labels) -> None:
        """Go on from a version of another store with the same settings: it comes behind what has a key here."""
        live = slice(self._begin, self._end)
        keyed = [part for part in self._part_of.values() if part]
        stays = np.isin(self._columns[-1][live], keyed)
        self._columns = [column[live][stays] for column in self._columns]
        self._begin, self._end = 0, int(stays.sum())
        part = np.zeros(len(labels), np.int64)
        self._append(labels.observation_BO, labels.action_BA, labels.weight_B, labels.heldout_B, part)
        self._newest, self._has_news = self._view(labels.version), False

    def labels(self) -> Labels:
        """Return all labels: the same version as before where nothing came since."""
        if self._has_news:
            self._newest = self._view(self._newest.version + 1)
            self._has_news = False
        return self._newest

    def _check_actions(self, action_BA: NDArray[Any]) -> None:
        space = self._action_space
        if isinstance(space, spaces.Box):
            return
        assert isinstance(space, (spaces.Discrete, spaces.MultiDiscrete))
        choices = space.n if isinstance(space, spaces.Discrete) else space.nvec
        if (action_BA < 0).any() or (action_BA >= choices).any():
            raise ValueError(f"a label has an action outside of {space}; give only actions of this space")

    def _append(self, *values: NDArray[Any]) -> None:
        rows, live = len(values[0]), slice(self._begin, self._end)
        if self._end + rows > len(self._columns[0]):
            kept = self._end - self._begin
            grown = [np.empty((2 * (kept + rows), *c.shape[1:]), c.dtype) for c in self._columns]
            for new, old in zip(grown, self._columns, strict=True):
                new[:kept] = old[live]
            self._columns, self._begin, self._end = grown, 0, kept
        for column, value in zip(self._columns, values, strict=True):
            column[self._end : self._end + rows] = value
        self._end += rows
        self._has_news = True
        if self._most is not None:
            excess = max(0, self._end - self._begin - self._most)
            self._begin += excess
            self.dropped += excess

    def _view(self, version: int) -> Labels:
        observation, action, weight, heldout = (c[self._begin : self._end] for c in self._columns[:-1])
        for view in (observation, action, weight, heldout):
            view.flags.writeable = False
        return Labels(
            version=version, observation_BO=observation, action_BA=action, weight_B=weight, heldout_B=heldout
        )


def _check(name: str, values: NDArray[Any], *, rows: int, like: NDArray[Any]) -> None:
    shape = (rows, *like.shape[1:])
    if values.shape != shape:
        raise ValueError(f"{name} have the shape {values.shape}, but {shape} is needed")
    if not np.can_cast(values.dtype, like.dtype, "same_kind"):
        raise ValueError(f"{name} are {values.dtype}, but {like.dtype} is needed")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} have numbers that are not finite; leave these labels out")
