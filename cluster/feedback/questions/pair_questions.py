"""Which pairs of segments to ask about, and how many of the questions are of other kinds."""

import logging
from collections.abc import Sequence

import numpy as np

from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.judgement_questions import JudgementQuestions
from cluster.feedback.questions.publisher import Cutting, cuttings_of
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.events import Comparison, Event, PairQuestion, Run, Segment
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions.answering_times import AnsweringTimes
from hitl.reward.questions.choosing import Choice, choose_pairs
from hitl.reward.questions.prospects import prospects_of
from policies.experience import Rollout

logger = logging.getLogger(__name__)


class PairQuestions:
    """Chooses by the reward model."""

    def __init__(
        self,
        questions: QuestionsConfig,
        model: RewardModelConfig,
        run: Run,
        asking: Asking,
        *,
        timed: bool,
        seed: int,
    ) -> None:
        """Begin.

        Args:
            questions: what to ask.
            model: how answers are understood.
            run: that is asked about.
            asking: names the questions.
            timed: whether what answers take counts; in lockstep no clock does.
            seed: of the candidates.
        """
        self._questions, self._run, self._asking = questions, run, asking
        self._settings, self._lapse, self._heldout_share = questions.choice, model.lapse, model.heldout_share
        self._rng = np.random.default_rng(seed)
        self._others = JudgementQuestions(
            questions, run, asking, heldout_share=model.heldout_share, seed=seed
        )
        self._timed, self._times = timed, AnsweringTimes()
        self.not_worth = 0
        """Questions that were due, and not asked because nothing was worth it."""

    def begin_anew(self, seed: int) -> None:
        """Choose from here on as a function of this seed."""
        self._rng = np.random.default_rng(seed)
        self._others.begin_anew(seed)

    def take_answer(self, event: Event | None, segments: Sequence[Segment]) -> None:
        """Take note of how long an answer to a comparison took."""
        if self._timed and isinstance(event, Comparison) and segments:
            self._times.take(steps=len(segments[0]), seconds=event.thinking_time.total_seconds())

    def ask_if_due(
        self,
        rollouts: Sequence[tuple[str, Rollout]],
        model: OnlineRewardModel,
        *,
        env_steps: int,
        reward_version: int,
        urgent: int = 0,
    ) -> bool:
        """Ask about segments of these rollouts if it is time to; where nothing is worth it, the round is left out.

        Args:
            rollouts: with their names.
            model: values the pairs.
            env_steps: of the run.
            reward_version: of the model; 0 before the first one.
            urgent: so many are asked now, and in any case.

        Returns:
            Whether anything was asked.
        """
        count = (urgent or self._asking.due(env_steps)) if rollouts else 0
        if not count:
            return False
        counts = self._others.split(count)
        pairs, their_cuttings, not_worth = self._choose_pairs(
            counts["comparison"], rollouts, model, reward_version, in_any_case=bool(urgent)
        )
        others, other_cuttings = self._others.choose(
            counts,
            rollouts,
            reward_version=reward_version,
            outcomes=model.ensemble.space.reads == "state_action_next",
        )
        if not_worth:
            self._leave_out(not_worth)
        if pairs or others:
            self._asking.ask([*pairs, *others], [*their_cuttings, *other_cuttings], env_steps=env_steps)
        elif not_worth:
            self._asking.leave_round(env_steps)
        return bool(pairs or others)

    def _choose_pairs(
        self,
        count: int,
        rollouts: Sequence[tuple[str, Rollout]],
        model: OnlineRewardModel,
        reward_version: int,
        *,
        in_any_case: bool,
    ) -> tuple[list[PairQuestion], list[Cutting], int]:
        """Return questions, what they are about, and how many are left out because nothing is worth asking."""
        if not count:
            return [], [], 0
        cuttings = [
            cutting
            for steps in (self._questions.segment_steps, *self._questions.shorter_segment_steps)
            for cutting in cuttings_of(
                rollouts,
                steps=steps,
                run=self._run,
                rng=self._rng,
                outcomes=model.ensemble.space.reads == "state_action_next",
            )
        ]
        # Members that have learnt nothing agree, and that says nothing.
        is_first = not reward_version or self._asking.asked < self._asking.schedule.initial
        found = self._choose(count, cuttings, model, in_any_case=in_any_case or is_first)
        chosen = [(cuttings[pair.first], cuttings[pair.second], pair.value) for pair in found.pairs]
        questions = [self._question(first, second, value, reward_version) for first, second, value in chosen]
        return (
            questions,
            [cutting for first, second, _ in chosen for cutting in (first, second)],
            found.not_worth,
        )

    def _choose(
        self, count: int, cuttings: Sequence[Cutting], model: OnlineRewardModel, *, in_any_case: bool
    ) -> Choice:
        if len(cuttings) < 2:
            return Choice()
        return choose_pairs(
            prospects_of(
                model.ensemble,
                [cutting.segment for cutting in cuttings],
                lapse=self._lapse,
                heldout_share=self._heldout_share,
            ),
            count=count,
            settings=self._settings.in_any_case() if in_any_case else self._settings,
            seconds=self._times.expected,
            rng=self._rng,
        )

    def _leave_out(self, count: int) -> None:
        if not self.not_worth:
            logger.warning(
                "%d questions are due and not asked: no answer would tell %g nats "
                "(reward.questions.least_information); this is said once, and feedback/not_worth_asking counts them",
                count,
                self._settings.least_information,
            )
        self.not_worth += count

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
