"""Which visited states to ask about: what should be done there?

Axis suffixes: L step of a segment, S state that can be asked about, O and A belong to observations and actions.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.publisher import Cutting, cuttings_of
from hitl.events import RelabelQuestion, Run
from hitl.stages import ActionSpace
from policies.experience import Actor, Rollout

Doubt = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.floating]]
"""How little a committee agrees on what to do: from observations [S, O] and the policy's actions [S, ...] to [S]."""


class RelabelQuestions:
    """Chooses states by the doubt about them, or any; of a segment one at most, for its states teach much the same."""

    def __init__(
        self, run: Run, action_space: ActionSpace, asking: Asking, *, segment_steps: int, seed: int
    ) -> None:
        """Begin.

        Args:
            run: that is asked about.
            action_space: of its task.
            asking: names the questions.
            segment_steps: shown with each state, and it among them.
            seed: of the choice.
        """
        self._run, self._action_space, self._asking = run, action_space, asking
        self._steps = segment_steps
        self._rng = np.random.default_rng(seed)

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        self._rng = np.random.default_rng(seed)

    def choose(
        self, count: int, rollouts: Iterable[tuple[str, Rollout]], doubt: Doubt | None
    ) -> tuple[list[RelabelQuestion], list[Cutting]]:
        """Choose at most so many states of these rollouts, each given with its name; the most doubtful first.

        States in which nobody acts, or in which an expert has said what to do, are not asked about.
        """
        known = dict(rollouts)
        cuttings = cuttings_of(known.items(), steps=self._steps, run=self._run, rng=self._rng)
        place_S, step_S = _askable(cuttings, known)
        doubt_S: NDArray[np.floating] = np.zeros(len(place_S))
        if doubt is not None and len(place_S):
            states = [(cuttings[place].segment, step) for place, step in zip(place_S, step_S, strict=True)]
            doubt_S = doubt(
                np.stack([np.asarray(segment.observations["obs"][step]).ravel() for segment, step in states]),
                np.stack([np.asarray(segment.actions[step]) for segment, step in states]),
            )
        # Among equals chance decides.
        order_S = np.lexsort((self._rng.random(len(place_S)), -doubt_S))
        chosen: dict[int, RelabelQuestion] = {}
        for index in order_S:
            place = int(place_S[index])
            if len(chosen) == count:
                break
            if place not in chosen:
                cutting = cuttings[place]
                chosen[place] = self._question(cutting, int(step_S[index]), float(doubt_S[index]))
        return list(chosen.values()), [cuttings[place] for place in chosen]

    def _question(self, cutting: Cutting, step: int, value: float) -> RelabelQuestion:
        return RelabelQuestion(
            question_id=self._asking.new_id(),
            run_id=self._run.run_id,
            segment_id=cutting.segment.segment_id,
            step=step,
            action_space=self._action_space,
            value=value,
            policy_version=cutting.segment.policy_version,
            expire_time=self._asking.expires(),
        )


def _askable(
    cuttings: list[Cutting], rollouts: dict[str, Rollout]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the states that can be asked about: the place of their segment [S], and their step in it [S]."""
    places, steps = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for place, cutting in enumerate(cuttings):
        rollout, here = rollouts[cutting.rollout], (cutting.row_L, cutting.column)
        askable_L = rollout.actor_TN[here] != Actor.NOBODY
        if rollout.labelled_TN is not None:
            askable_L &= ~rollout.labelled_TN[here]
        (step_S,) = np.nonzero(askable_L)
        places.append(np.full(len(step_S), place))
        steps.append(step_S)
    return np.concatenate(places), np.concatenate(steps)
