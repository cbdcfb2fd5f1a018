"""How far teachers are relied upon, in a run file."""

from typing import Annotated, Self

from pydantic import Field

from cluster.runs.section import NotNegativeReal, Section
from hitl.reliability.settings import LOOK_SECONDS, ReliabilitySettings


class ReliabilityConfig(Section):
    """What an honest teacher is like; all others get a flag in log, report and metrics, and still count."""

    trusted: tuple[str, ...] = ()
    """Names of teachers who are known to be honest: what they say makes a question gold (reward.questions.gold)."""
    accuracy: Annotated[float, Field(gt=0.5, lt=1)] = 0.75
    """An honest teacher gives the right answer at least so often, on questions that several have decided."""
    adversaries: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of teachers who turn their answers round, as believed at first: the fewer, the sooner a majority is
    believed. With 0.1 it takes three against one to flag one; a trusted teacher is enough, too."""
    side_share: Annotated[float, Field(gt=0.5, lt=1)] = 0.6
    """An honest teacher leans to the first or the second one in at most this share of answers."""
    look_seconds: NotNegativeReal | None = None
    """Nobody can look at a question in less time. Empty: 0.5, but 0, which asks nothing, where the run's own simulated
    teachers answer at once (teachers.answer_seconds)."""
    fast_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """An honest teacher is faster than that in at most this share of answers."""
    false_flags: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Chance that an honest teacher is ever flagged, for any reason, however many answers they give."""

    def beside(self, *, programs_at_once: bool) -> Self:
        """Return them with `look_seconds` decided, for a run whose own programs answer at once or not."""
        look_seconds = 0.0 if programs_at_once else LOOK_SECONDS
        return (
            self if self.look_seconds is not None else self.model_copy(update={"look_seconds": look_seconds})
        )

    def settings(self) -> ReliabilitySettings:
        """Return them as the tests take them."""
        return ReliabilitySettings(**self.beside(programs_at_once=False).model_dump())
