"""When questions are due: by environment steps, within a budget, and never more than teachers keep up with."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["constant", "hyperbolic", "inverse_quadratic", "exponential"]

_ASKED_BY: Mapping[ScheduleName, Callable[[float], float]] = {
    "constant": lambda time: time,
    "hyperbolic": math.log1p,
    "inverse_quadratic": math.atan,
    "exponential": lambda time: (1.0 - 2.0**-time) / math.log(2.0),
}
"""Integrals, from 0 on, of the rate of questions: 1, 1 / (1 + t), 1 / (1 + t^2) and 2^-t; all but the first have halved
at t = 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSchedule:
    """A first round once there is experience to ask about, then smaller rounds at equal distances.

    The rounds may become smaller and smaller, and rarer once they would be of less than one question: early answers
    are worth more, for all that is learnt later builds on them.

    Sources: Christiano et al. 2017, arXiv:1706.03741, section 2.2 and appendix A (labels at a rate that falls); Gleave
    et al. 2022, "imitation: clean imitation learning implementations", arXiv:2211.11972, for the shapes but the last.
    """

    budget: int
    initial: int
    initial_env_steps: int
    per_round: int
    round_env_steps: int
    max_open: int
    schedule: ScheduleName = "constant"
    half_env_steps: int = 100_000

    def due(
        self, *, env_steps: int, last_round_env_steps: int | None, asked: int, open_questions: int
    ) -> int:
        """Return how many questions to ask now.

        Args:
            env_steps: of the run.
            last_round_env_steps: when the last round was asked; None before the first one.
            asked: open and answered questions of the whole run.
            open_questions: waiting for a teacher.
        """
        left = self.budget - asked
        if env_steps < self.initial_env_steps or left <= 0:
            return 0
        if asked < self.initial:
            return self.initial - asked
        waited = env_steps - (last_round_env_steps if last_round_env_steps is not None else 0)
        if waited < self.round_env_steps or open_questions >= self.max_open:
            return 0
        return min(self._of_round(env_steps, env_steps - waited), left, self.max_open - open_questions)

    def _of_round(self, env_steps: int, last_round_env_steps: int) -> int:
        """Return how many a round has by the schedule: what is not whole yet is left for the rounds after it."""
        if self.schedule == "constant":
            return self.per_round
        due = math.floor(self._by_now(env_steps)) - math.floor(self._by_now(last_round_env_steps))
        return min(due, self.per_round)

    def _by_now(self, env_steps: int) -> float:
        """Return the questions after the first round that the schedule wants by then."""
        time = max(env_steps - self.initial_env_steps, 0) / self.half_env_steps
        return self.per_round * self.half_env_steps / self.round_env_steps * _ASKED_BY[self.schedule](time)
