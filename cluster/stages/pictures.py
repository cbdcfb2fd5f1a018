"""Pictures of bounded size."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cluster.runs.live_config import PicturesConfig

_WORST_QUALITY = 20


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
        image = Image.fromarray(pixels)
        sides = (self._config.longest_side, self._config.longest_side)
        image.thumbnail(sides, Image.Resampling.BILINEAR)
        quality = self._config.quality
        while True:
            encoded = self._encode(image, quality)
            if len(encoded) <= self._config.most_bytes or max(image.size) == 1:
                return encoded
            if quality > _WORST_QUALITY:
                quality = max(quality // 2, _WORST_QUALITY)
            else:
                image = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)))

    def _encode(self, image: Image.Image, quality: int) -> bytes:
        file = io.BytesIO()
        image.save(file, self._config.format, quality=quality, **self._options)
        return file.getvalue()
