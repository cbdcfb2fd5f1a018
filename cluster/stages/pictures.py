"""Pictures of bounded size, still and animated."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cluster.runs.live_config import PicturesConfig

_WORST_QUALITY = 20
_MILLISECONDS = 1000
_SHORTEST_MILLISECONDS = 10
"""Viewers slow down what is faster."""


class Pictures:
    """Turns what an environment renders into JPEG or WebP."""

    def __init__(self, config: PicturesConfig) -> None:
        self._config = config
        self._options = {"method": 0} if config.format == "webp" else {}
        self.type = f"image/{config.format}"
        """As browsers call it."""

    def encode(self, pixels: NDArray[np.uint8]) -> bytes:
        """Encode pixels, uint8[height, width, 3], in at most `most_bytes`.

        Pictures are scaled down to `longest_side`; one that is still too big loses quality, and then half its size,
        as often as needed.
        """

        def still(images: list[Image.Image], quality: int) -> bytes:
            return _saved(images[0], self._config.format, quality=quality, **self._options)

        return self._bounded([self.scaled(pixels)], self._config.most_bytes, still)

    def animate(self, frames: Sequence[Image.Image], *, seconds_per_frame: float) -> bytes:
        """Encode frames of `scaled` as a WebP that goes on for ever, in at most `most_clip_bytes`.

        One that is too big shrinks as a single picture does.
        """
        milliseconds = max(round(seconds_per_frame * _MILLISECONDS), _SHORTEST_MILLISECONDS)

        def moving(images: list[Image.Image], quality: int) -> bytes:
            return _saved(
                images[0],
                "webp",
                quality=quality,
                method=0,
                save_all=True,
                append_images=images[1:],
                duration=milliseconds,
                loop=0,
            )

        return self._bounded(list(frames), self._config.most_clip_bytes, moving)

    def scaled(self, pixels: NDArray[np.uint8]) -> Image.Image:
        """Return a picture of pixels, uint8[height, width, 3], that is not longer than `longest_side`."""
        image = Image.fromarray(pixels)
        sides = (self._config.longest_side, self._config.longest_side)
        image.thumbnail(sides, Image.Resampling.BILINEAR)
        return image

    def _bounded(
        self, images: list[Image.Image], most_bytes: int, encode: Callable[[list[Image.Image], int], bytes]
    ) -> bytes:
        quality = self._config.quality
        while True:
            encoded = encode(images, quality)
            size = images[0].size
            if len(encoded) <= most_bytes or max(size) == 1:
                return encoded
            if quality > _WORST_QUALITY:
                quality = max(quality // 2, _WORST_QUALITY)
            else:
                images = [image.resize((max(size[0] // 2, 1), max(size[1] // 2, 1))) for image in images]


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
