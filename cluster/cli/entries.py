"""What keys mean: an answer, letter by letter or with one key, or a wish about the teaching itself."""

import enum
import re
from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np

from hitl.errors import InvalidRequest
from hitl.events import Abstention, Choice
from hitl.stages import ActionSpace
from hitl.tensors import Array

Answer = Choice | Array | Abstention | tuple[int, ...] | int | bool
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
_GOALS: dict[str, bool | Abstention] = {"y": True, "n": False, **_ABSTENTIONS}
_OTHER_KEYS = "[b]c[/] cannot tell   [b]s[/] skip   [b]u[/] take the last answer back   [b]q[/] quit"


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

    help = "[b]1[/] first   [b]2[/] second   [b]t[/] equally good   " + _OTHER_KEYS
    typed = ""
    words = ""

    def press(self, key: str) -> Answer | Wish | None:
        """See `Entry`."""
        return _wish(key) or _CHOICES.get(key)


class _TypedEntry(ABC):
    """Something that is typed: one key, or several and Enter."""

    _PATTERN: str
    """Of the keys that can be typed."""

    def __init__(self, how: str, *, has_keys: bool) -> None:
        """Begin.

        Args:
            how: to answer, in Rich's markup.
            has_keys: each answer has a key of its own.
        """
        self._has_keys = has_keys
        self.help = f"{how}   {_OTHER_KEYS}"
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
            return self._take() if self.typed else None
        elif re.fullmatch(self._PATTERN, key):
            self.typed += key
            return self._take() if self._has_keys else None
        return None

    def _take(self) -> Answer | None:
        typed, self.typed = self.typed, ""
        try:
            return self._read(typed)
        except InvalidRequest as error:
            self.words = str(error)
            return None

    @abstractmethod
    def _read(self, typed: str) -> Answer:
        """Return the answer that was typed.

        Raises:
            InvalidRequest: it is none; says what one looks like.
        """
        ...


class ActionEntry(_TypedEntry):
    """What should be done: one key for each of up to ten options, otherwise numbers and Enter."""

    _PATTERN = r"[0-9eE.,+\- ]"

    def __init__(self, space: ActionSpace) -> None:
        has_keys = space.single and space.choices[0] <= _MOST_KEYS
        how = f"[b]0-{space.choices[0] - 1}[/] do this" if has_keys else f"{space}, then [b]Enter[/]"
        super().__init__(how, has_keys=has_keys)
        self._space = space

    def _read(self, typed: str) -> Array:
        low = self._space.low
        shape = low.shape if low is not None else () if self._space.single else (len(self._space.choices),)
        try:
            numbers = [
                float(part) if low is not None else int(part) for part in re.split(r"[,\s]+", typed.strip())
            ]
            action = np.array(numbers, np.int64 if low is None else low.dtype).reshape(shape)
        except (ValueError, OverflowError):
            raise InvalidRequest(f"{typed}: send {self._space}") from None
        self._space.check(action[None], typed)
        return action


class RankingEntry(_TypedEntry):
    """In which order: the numbers of the segments, the best first, equal ones joined, and Enter."""

    _PATTERN = r"[0-9=,> ]"

    def __init__(self, count: int) -> None:
        order = [str(number) for number in range(1, count + 1)]
        self._count, self._example = count, " ".join([*order[2:], "=".join(order[:2])])
        how = f"all numbers, the best first, such as [b]{self._example}[/], then [b]Enter[/]"
        super().__init__(how, has_keys=False)

    def _read(self, typed: str) -> tuple[int, ...]:
        number = r"\d" if self._count < _MOST_KEYS else r"\d+"
        places = re.findall(rf"{number}(?:\s*=\s*{number})*|\S", re.sub(r"[,>]", " ", typed))
        ranks: dict[int, int] = {}
        for place, equals in enumerate(places, start=1):
            ranks |= dict.fromkeys((int(one) for one in re.findall(r"\d+", equals)), place)
        said = [int(one) for one in re.findall(number, typed)]
        if sorted(said) != list(range(1, self._count + 1)) or "=" in places:
            raise InvalidRequest(
                f"{typed}: name each of 1 to {self._count} once, the best first, such as {self._example}"
            )
        return tuple(ranks[segment] for segment in range(1, self._count + 1))


class RatingEntry(_TypedEntry):
    """How good is a segment: one key, or a number and Enter where there are too many points for keys."""

    _PATTERN = r"[0-9]"

    def __init__(self, points: int) -> None:
        has_keys = points < _MOST_KEYS
        how = f"[b]1[/] the worst to [b]{points}[/] the best" + ("" if has_keys else ", then [b]Enter[/]")
        super().__init__(how, has_keys=has_keys)
        self._points = points

    def _read(self, typed: str) -> int:
        if not 1 <= int(typed) <= self._points:
            raise InvalidRequest(f"{typed}: give 1, the worst, to {self._points}, the best")
        return int(typed)


class GoalEntry:
    """Is this what you want: one key."""

    help = "[b]y[/] yes   [b]n[/] no   " + _OTHER_KEYS
    typed = ""
    words = ""

    def press(self, key: str) -> Answer | Wish | None:
        """See `Entry`."""
        return _wish(key) or _GOALS.get(key)


def _wish(key: str) -> Wish | None:
    if key == "":
        return Wish.QUIT
    return Wish(key) if key in {wish.value for wish in Wish} else None


def spoken(answer: Answer) -> str:
    """Return an answer as people say it."""
    if isinstance(answer, Choice | Abstention):
        return answer.value.replace("_", " ")
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, int):
        return f"rated {answer}"
    if isinstance(answer, tuple):
        of_place = (
            [str(number) for number, rank in enumerate(answer, start=1) if rank == place]
            for place in range(1, max(answer) + 1)
        )
        return "order " + " ".join("=".join(equals) for equals in of_place)
    return f"do {np.asarray(answer).tolist()}"
