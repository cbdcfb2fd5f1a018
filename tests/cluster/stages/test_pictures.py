import io

import numpy as np
import pytest
from PIL import Image

from cluster.runs.live_config import PicturesConfig
from cluster.stages.pictures import Pictures

NOISE = np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8)
STRIPES = np.repeat(np.arange(0, 240, dtype=np.uint8), 200)[:, None].repeat(3, 1).reshape(200, 240, 3).copy()


def decoded(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded))


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_picture_looks_as_it_was(kind: str) -> None:
    pictures = Pictures(PicturesConfig(format=kind))  # type: ignore[arg-type]
    assert pictures.type == f"image/{kind}"
    image = decoded(pictures.encode(STRIPES))
    assert image.format == kind.upper()
    assert image.size == (240, 200)
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - STRIPES).mean() < 4


def test_a_big_picture_is_scaled_down() -> None:
    image = decoded(Pictures(PicturesConfig(longest_side=100)).encode(NOISE))
    assert image.size == (100, 75)


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
@pytest.mark.parametrize("most_bytes", [30_000, 5_000, 800])
def test_what_does_not_compress_is_bounded_all_the_same(kind: str, most_bytes: int) -> None:
    pictures = Pictures(PicturesConfig(format=kind, most_bytes=most_bytes))  # type: ignore[arg-type]
    encoded = pictures.encode(NOISE)
    assert len(encoded) <= most_bytes
    assert min(decoded(encoded).size) >= 3


def test_a_bound_that_cannot_be_met_ends_with_the_smallest_picture() -> None:
    assert max(decoded(Pictures(PicturesConfig(most_bytes=1)).encode(NOISE)).size) == 1
