"""When questions are due: by environment steps, within a budget, and never more than teachers keep up with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSchedule:
    """A first round once there is experience to ask about, then smaller rounds at equal distances."""

    budget: int
    initial: int
    initial_env_steps: int
    per_round: int
    round_env_steps: int
    max_open: int

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
        return min(self.per_round, left, self.max_open - open_questions)
