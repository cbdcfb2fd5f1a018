"""What people are asked, in a run file."""

from typing import Literal

from cluster.runs.section import NotNegative, Positive, PositiveReal, Section, Share


class QuestionsConfig(Section):
    """What people are asked, how much and when."""

    strategy: Literal["disagreement", "random"] = "disagreement"
    """Ask where the ensemble disagrees most, or anywhere."""
    budget: NotNegative = 100
    """Comparisons to ask for in the whole run; skips count."""
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
