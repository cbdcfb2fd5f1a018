"""Questions of other kinds than comparisons: rankings, ratings and goals, about segments taken at random.

They share the rounds, the budget and the ids of the comparisons, by the shares of `reward.questions.kinds`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.publisher import Cutting, cuttings_of
from cluster.runs.reward.questions import QuestionKind, QuestionsConfig
from hitl.events import GoalQuestion, RankingQuestion, RatingQuestion, Run
from policies.experience import Rollout
from policies.splits import is_heldout

JudgementQuestion = RankingQuestion | RatingQuestion | GoalQuestion


class JudgementQuestions:
    """Chooses at random; each segment is in one question at most, and none mixes held-out segments with others."""

    def __init__(
        self, questions: QuestionsConfig, run: Run, asking: Asking, *, heldout_share: float, seed: int
    ) -> None:
        """Begin.

        Args:
            questions: what to ask.
            run: that is asked about.
            asking: names the questions.
            heldout_share: of segments, which only judge.
            seed: of the choice.
        """
        self._questions, self._run, self._asking = questions, run, asking
        self._heldout_share = heldout_share
        self.begin_anew(seed)

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        # Another source of chance than that of the pairs, which are drawn as if there were nothing beside them.
        self._rng = np.random.default_rng([seed, 1])

    def split(self, count: int) -> Counter[QuestionKind]:
        """Return how many of the next questions are of which kind."""
        asked = self._asking.number
        return Counter(kinds_in_turn(self._questions.kinds, asked + count)[asked:])

    def choose(
        self,
        counts: Counter[QuestionKind],
        rollouts: Iterable[tuple[str, Rollout]],
        *,
        reward_version: int,
        outcomes: bool = False,
    ) -> tuple[list[JudgementQuestion], list[Cutting]]:
        """Choose as many of each kind, comparisons apart, among segments of these rollouts; fewer if there are few.

        Args:
            counts: how many of each kind.
            rollouts: each with its name.
            reward_version: goes along.
            outcomes: say where the last step of each segment led to.
        """
        wanted = counts["ranking"] + counts["rating"] + counts["goal"]
        if not wanted:
            return [], []
        cuttings = cuttings_of(
            rollouts,
            steps=self._questions.segment_steps,
            run=self._run,
            rng=self._rng,
            outcomes=outcomes,
        )
        groups = _Groups(cuttings, heldout_share=self._heldout_share, rng=self._rng)
        questions: list[JudgementQuestion] = []
        chosen: list[Cutting] = []
        for kind in ("ranking", "rating", "goal"):
            size = self._questions.ranking_size if kind == "ranking" else 1
            for _ in range(counts[kind]):
                if group := groups.take(size):
                    questions.append(self._question(kind, group, reward_version))
                    chosen.extend(group)
        return questions, chosen

    def _question(self, kind: str, group: Sequence[Cutting], reward_version: int) -> JudgementQuestion:
        segments = [cutting.segment for cutting in group]
        common: dict[str, Any] = {
            "question_id": self._asking.new_id(),
            "run_id": self._run.run_id,
            "policy_version": max(segment.policy_version for segment in segments),
            "reward_version": reward_version,
            "expire_time": self._asking.expires(),
        }
        first = segments[0]
        if kind == "ranking":
            return RankingQuestion(segment_ids=tuple(s.segment_id for s in segments), **common)
        if kind == "rating":
            return RatingQuestion(segment_id=first.segment_id, points=self._questions.rating_points, **common)
        return GoalQuestion(segment_id=first.segment_id, step=int(self._rng.integers(len(first))), **common)


class _Groups:
    """Segments in random order, of which each is taken once, with others that train, or judge, as it does."""

    def __init__(
        self, cuttings: Sequence[Cutting], *, heldout_share: float, rng: np.random.Generator
    ) -> None:
        self._left = [cuttings[place] for place in rng.permutation(len(cuttings))]
        self._heldout_share = heldout_share

    def take(self, size: int) -> list[Cutting]:
        """Take so many together; none where no kind has so many left.

        The first one left decides whether all of them are held out, so the kinds keep their shares.
        """
        for first in self._left:
            like = list(self._like(first))[:size]
            if len(like) == size:
                taken = {id(cutting) for cutting in like}
                self._left = [cutting for cutting in self._left if id(cutting) not in taken]
                return like
        return []

    def _like(self, first: Cutting) -> Iterator[Cutting]:
        judges = self._judges(first)
        return (cutting for cutting in self._left if self._judges(cutting) == judges)

    def _judges(self, cutting: Cutting) -> bool:
        return is_heldout(cutting.segment.segment_id, self._heldout_share)


def kinds_in_turn(shares: dict[QuestionKind, float], count: int) -> list[QuestionKind]:
    """Return the kinds of a run's first questions: at any number each kind is as near to its share as it can be."""
    whole = sum(shares.values())
    given: Counter[QuestionKind] = Counter()
    kinds: list[QuestionKind] = []
    for number in range(1, count + 1):
        # What lacks most of its share; of equals the one that is named first.
        kind = max(shares, key=lambda name: shares[name] / whole * number - given[name])
        given[kind] += 1
        kinds.append(kind)
    return kinds
