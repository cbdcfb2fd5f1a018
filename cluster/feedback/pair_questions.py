"""Which pairs of segments to ask about, and how many of the questions are of other kinds."""

from collections.abc import Iterable, Sequence

import numpy as np

from cluster.feedback.asking import Asking
from cluster.feedback.judgement_questions import JudgementQuestions
from cluster.feedback.publisher import Cutting, cuttings_of
from cluster.runs.reward.questions import QuestionsConfig
from hitl.events import PairQuestion, Question, Run
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions.strategies import STRATEGIES
from policies.experience import Rollout


class PairQuestions:
    """Chooses by the reward model."""

    def __init__(
        self, questions: QuestionsConfig, run: Run, asking: Asking, *, heldout_share: float, seed: int
    ) -> None:
        """Begin.

        Args:
            questions: what to ask.
            run: that is asked about.
            asking: names the questions.
            heldout_share: of segments, which only judge.
            seed: of the candidates.
        """
        self._questions, self._run, self._asking = questions, run, asking
        self._rng = np.random.default_rng(seed)
        self._others = JudgementQuestions(questions, run, asking, heldout_share=heldout_share, seed=seed)

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        self._rng = np.random.default_rng(seed)
        self._others.begin_anew(seed)

    def choose(
        self,
        count: int,
        rollouts: Iterable[tuple[str, Rollout]],
        model: OnlineRewardModel,
        *,
        reward_version: int,
    ) -> tuple[list[Question], list[Cutting]]:
        """Choose what to ask about among segments of these rollouts."""
        named = list(rollouts)
        counts = self._others.split(count)
        pairs, their_cuttings = self._choose_pairs(counts["comparison"], named, model, reward_version)
        outcomes = model.ensemble.space.reads == "state_action_next"
        others, other_cuttings = self._others.choose(
            counts, named, reward_version=reward_version, outcomes=outcomes
        )
        return [*pairs, *others], [*their_cuttings, *other_cuttings]

    def _choose_pairs(
        self,
        count: int,
        rollouts: Sequence[tuple[str, Rollout]],
        model: OnlineRewardModel,
        reward_version: int,
    ) -> tuple[list[PairQuestion], list[Cutting]]:
        if not count:
            return [], []
        cuttings = cuttings_of(
            rollouts,
            steps=self._questions.segment_steps,
            run=self._run,
            rng=self._rng,
            outcomes=model.ensemble.space.reads == "state_action_next",
        )
        pairs = model.choose(
            [cutting.segment for cutting in cuttings],
            count=count,
            pool=self._questions.candidates,
            strategy=STRATEGIES[self._questions.strategy],
            rng=self._rng,
        )
        chosen = [(cuttings[pair.first], cuttings[pair.second], pair.value) for pair in pairs]
        questions = [self._question(first, second, value, reward_version) for first, second, value in chosen]
        return questions, [cutting for first, second, _ in chosen for cutting in (first, second)]

    def _question(self, first: Cutting, second: Cutting, value: float, reward_version: int) -> PairQuestion:
        return PairQuestion(
            question_id=self._asking.new_id(),
            run_id=self._run.run_id,
            first_segment_id=first.segment.segment_id,
            second_segment_id=second.segment.segment_id,
            value=value,
            policy_version=max(first.segment.policy_version, second.segment.policy_version),
            reward_version=reward_version,
            expire_time=self._asking.expires(),
        )
