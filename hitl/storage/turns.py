"""Whose turn a question is, among teachers who are alike: where that repeats, it does not matter who is faster."""

import hashlib

from sqlalchemy import ColumnElement

from hitl.questions import Turn
from hitl.storage import schema
from hitl.storage.answerers import ANSWERS_GIVEN

_LOTS = 2**31


def lot_of(question_id: str) -> int:
    """Return a number from 0 to 2^31 - 1 that follows from a question's id alone, as if it were drawn."""
    return int.from_bytes(hashlib.sha256(question_id.encode()).digest()[:8], "big") % _LOTS


def is_turn_of(turn: Turn) -> ColumnElement[bool]:
    """Return whether a question is for who has this turn: each answer to it, skips included, passes it on by one."""
    return (schema.questions.c.lot + ANSWERS_GIVEN) % turn.places == turn.place
