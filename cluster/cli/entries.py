"""What keys mean: an answer, letter by letter or with one key, or a wish about the teaching itself."""

import enum
import re
from typing import Protocol

import numpy as np

from hitl.errors import InvalidRequest
from hitl.events import Abstention, Choice
from hitl.stages import ActionSpace
from hitl.tensors import Array

Answer = Choice | Array | Abstention
"""To a question of any kind."""

_MOST_KEYS = 10
"""Options that have a key of their own."""
_DELETE = ("\b", "\x7f")
_CHOICES = {
    "1": Choice.FIRST,
    "2": Choice.SECOND,
    "t": Choice.TIE,
    "s": Choice.SKIP,
    "c": Choice.CANNOT_TELL,
}
_ABSTENTIONS = {"s": Abstention.SKIP, "c": Abstention.CANNOT_TELL}


class Wish(enum.Enum):
    """What a person wants beside answering."""

    QUIT = "q"
    TAKE_BACK = "u"


class Entry(Protocol):
    """An answer that is being given."""

    help: str
    """The keys, in Rich's markup."""
    typed: str
    """What has been typed of it."""
    words: str
    """What was wrong with what was typed before; empty: nothing."""

    def press(self, key: str) -> Answer | Wish | None:
        """Return what a key makes of it; None where that is nothing yet. An empty key is the end of the input."""
        ...


class ChoiceEntry:
    """Which of two segments is better: one key."""

    help = (
        "[b]1[/] first   [b]2[/] second   [b]t[/] equally good   [b]c[/] cannot tell   "
        "[b]s[/] skip   [b]u[/] take the last answer back   [b]q[/] quit"
    )
    typed = ""
    words = ""

    def press(self, key: str) -> Answer | Wish | None:
        """See `Entry`."""
        return _wish(key) or _CHOICES.get(key)


class ActionEntry:
    """What should be done: one key for each of up to ten options, otherwise numbers and Enter."""

    def __init__(self, space: ActionSpace) -> None:
        self._space = space
        self._has_keys = space.single and space.choices[0] <= _MOST_KEYS
        how = f"[b]0-{space.choices[0] - 1}[/] do this" if self._has_keys else f"{space}, then [b]Enter[/]"
        self.help = (
            f"{how}   [b]c[/] cannot tell   [b]s[/] skip   [b]u[/] take the last answer back   [b]q[/] quit"
        )
        self.typed = self.words = ""

    def press(self, key: str) -> Answer | Wish | None:
        """See `Entry`."""
        self.words = ""
        if wish := _wish(key):
            return wish
        if key in _ABSTENTIONS:
            return _ABSTENTIONS[key]
        if key in _DELETE:
            self.typed = self.typed[:-1]
        elif key in ("\n", "\r"):
            return self._read() if self.typed else None
        elif re.fullmatch(r"[0-9eE.,+\- ]", key):
            self.typed += key
            return self._read() if self._has_keys else None
        return None

    def _read(self) -> Array | None:
        typed, self.typed = self.typed, ""
        low = self._space.low
        shape = low.shape if low is not None else () if self._space.single else (len(self._space.choices),)
        try:
            numbers = [
                float(part) if low is not None else int(part) for part in re.split(r"[,\s]+", typed.strip())
            ]
            action = np.array(numbers, np.int64 if low is None else low.dtype).reshape(shape)
            self._space.check(action[None], typed)
        except (ValueError, OverflowError):
            self.words = f"{typed}: send {self._space}"
        except InvalidRequest as error:
            self.words = str(error)
        else:
            return action
        return None


def _wish(key: str) -> Wish | None:
    if key == "":
        return Wish.QUIT
    return Wish(key) if key in {wish.value for wish in Wish} else None


def spoken(answer: Answer) -> str:
    """Return an answer as people say it."""
    if isinstance(answer, Choice | Abstention):
        return answer.value.replace("_", " ")
    return f"do {np.asarray(answer).tolist()}"
