"""What is said of a teacher."""

import enum
from dataclasses import asdict, dataclass
from typing import Any


class Reason(enum.StrEnum):
    """Why a teacher is not taken for an honest one."""

    ADVERSARY = "adversary"
    """What others say of the same questions is rather turned round than honest."""
    SAME_SIDE = "same_side"
    """Leans to one side more than any honest teacher does."""
    TOO_FAST = "too_fast"
    """Faster than anybody can look, in more answers than an honest teacher's slips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A test has come out against a teacher. It stays: nothing that comes later makes it unsaid."""

    teacher_id: str
    reason: Reason
    answers: int
    """Of this teacher, when it was noticed."""
    shared: int
    """Of these, to questions that others have decided as well."""
    offset: int
    """Of the newest entry of the journal by then."""
    evidence: float
    """Logarithm of the likelihood ratio, in nats."""

    def __str__(self) -> str:
        return (
            f"teacher {self.teacher_id} is flagged after {self.answers} answers, {self.shared} of them shared: "
            f"{_WORDS[self.reason]} (likelihood ratio e^{self.evidence:.1f}); all that they say still counts"
        )


_WORDS = {
    Reason.ADVERSARY: "what others say of the same questions is mostly the opposite",
    Reason.SAME_SIDE: "nearly always the same side",
    Reason.TOO_FAST: "answers faster than anybody can look",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherReport:
    """What is known of a teacher; None where there is nothing to tell from."""

    teacher_id: str
    answers: int
    """To questions of any kind, skips counted and without those taken back."""
    skips: int
    """Of these, the ones that say nothing: skip, cannot tell."""
    ties: int
    """Of these, ties."""
    shared: int
    """Questions that this teacher and somebody else have decided."""
    agreement: float | None
    """Share of the others' answers to those that say the same."""
    first_share: float | None
    """Of decided answers, those for the first one."""
    fast_share: float | None
    """Of answers, those faster than anybody can look; None where that is not looked at."""
    thinking_seconds: float | None
    """Mean time to answer."""
    flags: tuple[Flag, ...] = ()
    weight: float | None = None
    """Of this teacher's answers in the last fit, where the run learns that."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object; of flags their reasons."""
        return asdict(self) | {"flags": [flag.reason.value for flag in self.flags]}
