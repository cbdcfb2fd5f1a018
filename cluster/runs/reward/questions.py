"""What people are asked, in a run file."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cluster.runs.section import NotNegative, Positive, PositiveReal, Section, Share
from hitl.questions import DEFAULT_POINTS

if TYPE_CHECKING:
    from cluster.runs.config import RunConfig

QuestionKind = Literal["comparison", "ranking", "rating", "goal"]


def _comparisons_alone() -> dict[QuestionKind, float]:
    return {"comparison": 1.0}


class QuestionsConfig(Section):
    """What people are asked, how much and when."""

    strategy: Literal["disagreement", "random"] = "disagreement"
    """Ask where the ensemble disagrees most, or anywhere."""
    kinds: Annotated[dict[QuestionKind, PositiveReal], Field(min_length=1)] = Field(
        default_factory=_comparisons_alone
    )
    """What is asked, with the share of each: comparison (which of two pieces is better), ranking (which order of some),
    rating (how good is one), goal (is this state what you want). For example {comparison: 0.5, ranking: 0.5}."""
    ranking_size: Annotated[int, Field(ge=2, le=20)] = 4
    """Segments of a ranking."""
    rating_points: Annotated[int, Field(ge=2, le=9)] = DEFAULT_POINTS
    """Of a rating: from 1, the worst, to this."""
    budget: NotNegative = 100
    """Questions to ask in the whole run; skips count."""
    initial: NotNegative = 20
    """Asked at once from the first rollouts, before any policy learning."""
    initial_env_steps: Positive = 16_384
    """Environment steps of these first rollouts."""
    per_round: Positive = 5
    """Asked together after that."""
    round_env_steps: Positive = 20_000
    """Environment steps between rounds."""
    clips: bool = False
    """Ask about what stages play while nobody watches (stages.count), and show people a clip of it."""
    segment_steps: Positive = 25
    """Length of the segments compared."""
    candidates: Positive = 500
    """Pairs considered for each round."""
    fresh_batches: Positive = 4
    """They are cut from so many of the newest batches of rollouts."""
    duplicates: Share = 0.0
    """Share of questions that go to two different teachers, whose agreement is shown; both answers count against the
    budget and are learnt from. Lockstep waits for the second one only a few seconds."""
    gold: Share = 0.0
    """Share of questions that repeat one whose answer is known: two teachers gave it, or one of reward.reliability.
    trusted. Nobody is told; the answers count as all others do."""
    max_open: Positive = 20
    """No new question while this many wait for a teacher (overlapped mode)."""
    expire_seconds: PositiveReal = 600.0
    """An open question is withdrawn after this time: by then the policy is another one."""


def kinds_complaint(run: "RunConfig") -> str | None:
    """Return why a run's teachers cannot answer what it asks, or not demonstrate, if they cannot."""
    kinds, teachers = run.reward.questions.kinds, run.teachers
    if teachers.rating_range is not None and not teachers.rating_range[0] < teachers.rating_range[1]:
        return f"teachers.rating_range is {list(teachers.rating_range)}; write the lower end first"
    if teachers.demonstrations and not (teachers.who_answer and teachers.expert):
        return (
            "teachers.demonstrations: simulated teachers demonstrate with an expert; name one with teachers.expert, "
            "and set teachers.count to 1 or more"
        )
    if not teachers.who_answer or not run.asks_questions:
        return None
    if "goal" in kinds and not teachers.goal and teachers.goal_reward is None:
        return (
            "teachers.count: this run asks whether states are wanted (reward.questions.kinds), which simulated "
            "teachers know by a function or by a true reward; set teachers.goal or teachers.goal_reward, or "
            "leave teachers.count and teachers.crowd out"
        )
    if "rating" in kinds and run.mode == "lockstep" and teachers.rating_range is None:
        return (
            "teachers.rating_range: without it a rating depends on what each teacher has seen before, which is no "
            "function of the seed; set it, or mode to overlapped"
        )
    return None
