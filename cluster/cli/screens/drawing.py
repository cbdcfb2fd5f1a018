"""Pictures in characters, still and animated."""

import io
from typing import Self

import numpy as np
from PIL import Image, ImageSequence
from rich.text import Text

_MILLISECONDS = 1000
_LEAST_MILLISECONDS = 10
_SAME_SECONDS = 1e-6


def draw(image: Image.Image, *, columns: int, rows: int) -> Text:
    """Draw a picture in at most so many characters, each of which shows two pixels, one above the other."""
    pixels = image.convert("RGB")
    pixels.thumbnail((columns, 2 * rows))
    rgb = np.asarray(pixels)
    text = Text(no_wrap=True)
    for upper, lower in zip(rgb[0::2], rgb[1::2], strict=False):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            colours = "#{:02x}{:02x}{:02x} on #{:02x}{:02x}{:02x}".format(*above, *below)
            text.append("\u2580", style=colours)
        text.append("\n")
    return text


class Film:
    """An animated picture, which goes on for ever."""

    def __init__(self, frames: list[Image.Image], seconds: list[float]) -> None:
        """Take the frames.

        Args:
            frames: all of one size.
            seconds: how long each is to be seen, above 0.
        """
        self._frames = frames
        self._ends = np.cumsum(seconds)
        self._drawn: dict[tuple[int, int, int], Text] = {}

    @classmethod
    def open(cls, data: bytes) -> Self:
        """Read an animated picture of any kind that Pillow knows.

        Raises:
            OSError: it is none.
        """
        frames, seconds = [], []
        for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data))):
            # A picture's time is known only once it is decoded.
            frames.append(frame.convert("RGB"))
            seconds.append(max(frame.info.get("duration", 0), _LEAST_MILLISECONDS) / _MILLISECONDS)
        return cls(frames, seconds)

    def until(self, share: float, *, hold_seconds: float) -> Self:
        """Return the beginning, up to a share of the whole time; its last frame is to be seen for longer."""
        end = share * float(self._ends[-1])
        begins = np.concatenate([[0.0], self._ends[:-1]])
        count = max(int((begins < end - _SAME_SECONDS).sum()), 1)
        ends = np.concatenate([self._ends[: count - 1], [end + hold_seconds]])
        return type(self)(self._frames[:count], np.diff(ends, prepend=0.0).tolist())

    def __len__(self) -> int:
        return len(self._frames)

    def draw(self, seconds: float, *, columns: int, rows: int) -> Text:
        """Draw what is to be seen so long after it began."""
        number = int(np.searchsorted(self._ends, seconds % self._ends[-1], side="right"))
        number = min(number, len(self._frames) - 1)
        key = (number, columns, rows)
        if key not in self._drawn:
            self._drawn[key] = draw(self._frames[number], columns=columns, rows=rows)
        return self._drawn[key]
