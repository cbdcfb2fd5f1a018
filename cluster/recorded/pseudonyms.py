"""Names that hide teachers, the same whenever a service exports."""

import hashlib
import hmac

_SHOWN = "demonstration-"
"""Begins the sources and the ids of segments that a teacher has shown; both tell whose they are."""


class Pseudonyms:
    """Made with what only the service knows: who has a name in mind cannot find out which is its pseudonym."""

    def __init__(self, secret: bytes | None) -> None:
        """Begin; without a secret all names stay as they are."""
        self._secret = secret

    def teacher(self, teacher_id: str) -> str:
        """Return what a teacher is called."""
        return teacher_id if self._secret is None else f"teacher-{self._digest(teacher_id)[:12]}"

    def source(self, source: str) -> str:
        """Return what a source of steps is called."""
        if self._secret is None or not source.startswith(_SHOWN):
            return source
        return _SHOWN + self.teacher(source.removeprefix(_SHOWN))

    def segment(self, segment_id: str) -> str:
        """Return what a segment is called."""
        if self._secret is None or not segment_id.startswith(_SHOWN):
            return segment_id
        whose, slash, steps = segment_id.removeprefix(_SHOWN).partition("/")
        return f"{_SHOWN}{self._digest(whose)[:32]}{slash}{steps}"

    def _digest(self, name: str) -> str:
        assert self._secret is not None
        return hmac.new(self._secret, f"pseudonym/{name}".encode(), hashlib.sha256).hexdigest()
