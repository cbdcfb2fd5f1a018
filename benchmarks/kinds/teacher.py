"""A simulated teacher in front of CartPole who answers questions, and what the teacher wants.

Comparisons, rankings and ratings are by true returns, with ties as in the run file; what is said of single states is by
whether the pole is up and near the middle, and by an expert. One answer in twenty is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.journal import Said
from benchmarks.kinds.experience import Candidate
from cluster.runs.config import RunConfig
from hitl.events import Comparison, Goal, Ranking, Rating, Relabel
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions.choosing import choose_pairs
from hitl.reward.questions.prospects import prospects_of
from hitl.teachers.answers import RatingScale, rank, rate, recognise
from hitl.teachers.cartpole import Balancer
from hitl.teachers.judging import Observation
from hitl.teachers.simulated import SimulatedSettings, answer, question_rng
from policies.splits import is_heldout

MISTAKE = 0.05
"""Chance of the opposite, whatever is said."""
_MIDDLE, _UPRIGHT = 1.2, np.deg2rad(6.0)
"""Half of how far from the middle of the track, and from upright, an episode goes on."""


def wanted(observation: Observation) -> bool:
    """Whether the pole is up and the cart near the middle."""
    return bool(abs(observation[0]) < _MIDDLE and abs(observation[2]) < _UPRIGHT)


class Answerer:
    """Is asked by a run's model, and answers; each segment is in one question of a round at most."""

    def __init__(self, config: RunConfig, model: OnlineRewardModel, *, seed: int) -> None:
        """Take the run file that questions are asked by, and the model that chooses the comparisons."""
        self._questions, self._lapse = config.reward.questions, config.reward.model.lapse
        self._tie_threshold = config.teachers.tie_threshold
        self._model, self._seed, self._asked = model, seed, 0
        self._rng = np.random.default_rng([seed, 3])
        self.left: list[Candidate] = []
        """What can still be asked about in this round, in random order."""
        self._say: Mapping[str, Callable[[int], list[Said]]] = {
            "comparisons": self._comparisons,
            "rankings": lambda count: self._each(self._ranking, count, self._questions.ranking_size),
            "ratings": lambda count: self._each(self._rating, count),
            "goals": lambda count: self._each(self._goal, count),
            "corrections": self._corrections,
        }

    def look(self, candidates: Sequence[Candidate]) -> None:
        """Ask from here on about these, in random order."""
        self.left = [candidates[place] for place in self._rng.permutation(len(candidates))]

    def say(self, kind: str, count: int) -> list[Said]:
        """Ask and answer so many questions of a kind; fewer where there are not so many segments."""
        return self._say[kind](count)

    def _comparisons(self, count: int) -> list[Said]:
        prospects = prospects_of(
            self._model.ensemble,
            [candidate.segment for candidate in self.left],
            lapse=self._lapse,
            heldout_share=self._model.heldout_share,
        )
        chosen = choose_pairs(
            prospects,
            count=count,
            settings=self._questions.choice,
            seconds=lambda steps: 1.0,
            rng=self._rng,
        ).pairs
        pairs = [(self.left[pair.first], self.left[pair.second]) for pair in chosen]
        taken = {place for pair in chosen for place in (pair.first, pair.second)}
        self.left = [candidate for place, candidate in enumerate(self.left) if place not in taken]
        return [self._comparison(*pair) for pair in pairs]

    def _comparison(self, first: Candidate, second: Candidate) -> Said:
        ids = self._ids()
        settings = SimulatedSettings(mistake=MISTAKE, tie_threshold=self._tie_threshold)
        choice = answer(first.true_reward_L, second.true_reward_L, self._chance(ids), settings)
        return Comparison(choice=choice, **ids), [first.segment, second.segment]

    def _ranking(self, group: Sequence[Candidate]) -> Said:
        ids = self._ids()
        ranks = rank(
            [candidate.true_return for candidate in group],
            self._chance(ids),
            rationality=None,
            tie_threshold=self._tie_threshold,
            mistake=MISTAKE,
        )
        return Ranking(ranks=ranks, **ids), [candidate.segment for candidate in group]

    def _rating(self, group: Sequence[Candidate]) -> Said:
        (one,), ids, points = group, self._ids(), self._questions.rating_points
        scale = RatingScale((0.0, float(self._questions.segment_steps)))
        cuts = scale.cuts(one.true_return, points)
        rating = rate(one.true_return, cuts, self._chance(ids), rationality=None, mistake=MISTAKE)
        return Rating(rating=rating, points=points, **ids), [one.segment]

    def _goal(self, group: Sequence[Candidate]) -> Said:
        (one,), ids = group, self._ids()
        step = int(self._rng.integers(len(one.segment)))
        is_wanted = wanted(one.segment.observations["obs"][step])
        return Goal(step=step, reached=recognise(is_wanted, self._chance(ids), mistake=MISTAKE), **ids), [
            one.segment
        ]

    def _corrections(self, count: int) -> list[Said]:
        """Answer what to do, in states where anything can be done."""
        said: list[Said] = []
        for one in [candidate for candidate in self.left if candidate.is_up_L.any()][:count]:
            ids = self._ids()
            step = int(self._rng.choice(np.flatnonzero(one.is_up_L)))
            action = Balancer().act(one.segment.observations["obs"][step])
            if self._chance(ids).random() < MISTAKE:
                action = 1 - action
            said.append((Relabel(step=step, answer=np.array(action), **ids), [one.segment]))
            self.left.remove(one)
        return said

    def _each(self, say: Callable[[Sequence[Candidate]], Said], count: int, size: int = 1) -> list[Said]:
        groups = (self._take(size) for _ in range(count))
        return [say(group) for group in groups if group]

    def _take(self, size: int) -> list[Candidate]:
        """Take so many segments of which all train, or all judge."""
        for first in self.left:
            like = [other for other in self.left if self._judges(other) == self._judges(first)][:size]
            if len(like) == size:
                taken = {id(candidate) for candidate in like}
                self.left = [candidate for candidate in self.left if id(candidate) not in taken]
                return like
        return []

    def _judges(self, candidate: Candidate) -> bool:
        return is_heldout(candidate.segment.segment_id, self._model.heldout_share)

    def _ids(self) -> dict[str, Any]:
        self._asked += 1
        name = f"q{self._asked}"
        return {"run_id": "run", "question_id": name, "event_id": name}

    def _chance(self, ids: Mapping[str, Any]) -> np.random.Generator:
        return question_rng(self._seed, ids["question_id"])
