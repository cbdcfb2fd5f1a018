"""People: what they say, how it is kept, what it means, and the reward learnt from it.

with TeacherClient(address, token) as teacher:
    for question in teacher.questions(run_id):
        question.answer(Choice.FIRST)
"""

from typing import TYPE_CHECKING, Any

from hitl.demonstrations import Piece
from hitl.events import (
    Abstention,
    Choice,
    Comparison,
    JournalEntry,
    PairQuestion,
    Progress,
    Receipt,
    Retraction,
    Run,
    Segment,
    StepAddress,
    Task,
)

if TYPE_CHECKING:
    from hitl.client.teaching import TeacherClient

__all__ = [
    "Abstention",
    "Choice",
    "Comparison",
    "JournalEntry",
    "PairQuestion",
    "Piece",
    "Progress",
    "Receipt",
    "Retraction",
    "Run",
    "Segment",
    "StepAddress",
    "Task",
    "TeacherClient",
]


def __getattr__(name: str) -> Any:
    # On first use only: processes that want nothing but the mathematics load no gRPC.
    if name == "TeacherClient":
        from hitl.client.teaching import TeacherClient

        return TeacherClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
