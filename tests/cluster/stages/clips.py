"""What is in a clip of a dial."""

import io

import numpy as np
from PIL import Image, ImageSequence

from hitl.stages import Clip


def frames_of(clip: Clip) -> list[np.ndarray]:
    image = Image.open(io.BytesIO(clip.data))
    return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


def place_on(frame: np.ndarray) -> float:
    """Where the hand of a dial is, in a picture of it."""
    bright = frame.astype(float).sum((0, 2))
    return (float(np.argmax(bright)) - 30) / 2
