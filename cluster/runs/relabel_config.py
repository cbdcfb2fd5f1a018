"""The part of a run file about asking people what should be done in states that the policy visits."""

from typing import TYPE_CHECKING, Literal

from cluster.runs.section import NotNegative, Positive, PositiveReal, Section

if TYPE_CHECKING:
    from cluster.runs.config import RunConfig


class RelabelQuestionsConfig(Section):
    """What people are asked about states that the policy visits: what should be done there? No stage is needed."""

    strategy: Literal["random", "doubt"] = "random"
    """Ask about any state, or where a committee of imitation.help.members policies disagrees most."""
    budget: NotNegative = 0
    """Questions to ask in the whole run; skips count. 0: nobody is asked."""
    per_round: Positive = 10
    """Asked together, first of all as soon as there are rollouts."""
    round_env_steps: Positive = 1_000
    """Environment steps between rounds."""
    max_open: Positive = 20
    """No new question while this many wait for a teacher (overlapped mode)."""
    segment_steps: Positive = 10
    """Of the piece of behaviour that is shown: one of its states is asked about, those before it are context."""
    clips: bool = False
    """Ask about what stages play while nobody watches (stages.count), and show people a clip of it."""
    expire_seconds: PositiveReal = 600.0
    """An open question is withdrawn after this time: by then the policy is another one."""


def relabel_complaint(run: "RunConfig") -> str | None:
    """Return why a run cannot ask what should be done, if it cannot."""
    questions, stages = run.imitation.questions, run.stages
    if not run.imitation.asks_people:
        return None
    if run.teachers.who_answer and not run.teachers.expert:
        return (
            "teachers.count: this run asks what to do (imitation.questions), which simulated teachers know by an "
            "expert; name one with teachers.expert, or leave teachers.count and teachers.crowd out"
        )
    other_clips = run.learns_reward and run.reward.questions.clips
    if questions.clips and (run.mode == "lockstep" or other_clips or not stages.count):
        return (
            "imitation.questions.clips: stages render clips for one kind of question, and what they play is no "
            "function of the seed; set stages.count to 1 or more, mode to overlapped, and reward.questions.clips to "
            "false"
        )
    steps = stages.unwatched_steps if questions.clips else run.rollouts.steps
    if questions.segment_steps > steps:
        return (
            f"imitation.questions.segment_steps is {questions.segment_steps}, but there are only {steps} steps "
            "(rollouts.steps, or with clips stages.unwatched_steps) to cut segments from; shorten one or lengthen the "
            "other"
        )
    return None
