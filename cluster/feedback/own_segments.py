"""What demonstrations are held against: the newest segments of the policy itself, now and then."""

import numpy as np

from cluster.feedback.questions.fresh import FreshRollouts
from cluster.feedback.questions.publisher import cuttings_of
from hitl.events import Run
from hitl.reward.evidence.demonstrations import Demonstrations

_SHOWN = 256
"""Segments each time."""


class OwnSegments:
    """Shows the evidence of demonstrations what the policy does by itself."""

    def __init__(
        self, demonstrations: object, run: Run, *, steps: int, every_env_steps: int, seed: int
    ) -> None:
        """Begin.

        Args:
            demonstrations: the evidence; anything else where demonstrations are switched off.
            run: whose policy it is.
            steps: of a segment.
            every_env_steps: environment steps between two times.
            seed: of which segments are shown.
        """
        self._demonstrations = demonstrations if isinstance(demonstrations, Demonstrations) else None
        self._run, self._steps, self._every = run, steps, every_env_steps
        self._last: int | None = None
        self._rng = np.random.default_rng(seed)

    def begin_anew(self, seed: int) -> None:
        """Forget all, and draw from here on as a function of this seed."""
        self._last, self._rng = None, np.random.default_rng(seed)
        if self._demonstrations is not None:
            self._demonstrations.forget_own()

    def show_if_due(self, fresh: FreshRollouts, env_steps: int) -> bool:
        """Show some of the newest, if there are demonstrations and it is time; returns whether that was done."""
        if self._demonstrations is None or not len(self._demonstrations) or not fresh.has_batches:
            return False
        if self._last is not None and env_steps - self._last < self._every:
            return False
        cuttings = cuttings_of(fresh.gathered, steps=self._steps, run=self._run, rng=self._rng, outcomes=True)
        if not cuttings:
            return False
        chosen = self._rng.permutation(len(cuttings))[:_SHOWN]
        self._demonstrations.show_own(cuttings[row].segment for row in np.sort(chosen))
        self._last = env_steps
        return True
