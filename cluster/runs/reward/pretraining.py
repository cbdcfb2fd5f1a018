"""What the reward model learns before the first question, in a run file."""

from typing import TYPE_CHECKING

from cluster.runs.section import Positive, Section

if TYPE_CHECKING:
    from cluster.runs.config import RunConfig


class PretrainingConfig(Section):
    """The reward model before the first question: what people said earlier (docs/feedback.md)."""

    recorded: tuple[str, ...] = ()
    """Folders of recorded feedback (`handrail feedback export`, or written by other tools): it counts like the run's
    own, and the reward model is fitted to it before the policy learns and anything is asked."""
    earlier_runs: bool = False
    """The same with the feedback of feedback.reads_from; false: it is first learnt from after the first questions."""
    fits: Positive = 10
    """At most so many fits before the first question, as long as none is worse on held-out feedback."""


def pretraining_complaint(run: "RunConfig") -> str | None:
    """Return why a run cannot learn from what was said earlier, if it cannot."""
    settings = run.reward.pretraining
    if (settings.recorded or settings.earlier_runs) and not run.learns_reward:
        return (
            "reward.pretraining: this run learns no reward; set reward.sources.learned, or leave recorded and "
            "earlier_runs out"
        )
    if settings.earlier_runs and not run.feedback.reads_from:
        return (
            "reward.pretraining.earlier_runs: there are none to read from; name them with feedback.reads_from, "
            "or write `task` there for all of this task"
        )
    return None
