from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from policies.encoding import chosen_encoders
from policies.spaces import flat_dtype, flat_size, leaves, writable

IMAGE = spaces.Box(0, 255, (4, 5, 3), np.uint8)
VECTOR = spaces.Box(-1, 1, (2,), np.float32)
NESTED = spaces.Dict(
    a=spaces.Dict(image=IMAGE, position=spaces.Box(-5, 5, (2, 3), np.float64)),
    m=spaces.MultiDiscrete([2, 4], start=[1, 0]),
    z=spaces.Tuple([spaces.Discrete(3, start=-1), spaces.MultiBinary([2, 2])]),
)
ALL: dict[str, gym.Space[Any]] = {
    "scalar": spaces.Box(-1, 1, ()),
    "matrix": spaces.Box(-1, 1, (2, 3)),
    "integers": spaces.Box(-9, 9, (4,), np.int32),
    "image": IMAGE,
    "discrete": spaces.Discrete(4),
    "multi discrete": spaces.MultiDiscrete([2, 3]),
    "multi binary": spaces.MultiBinary(3),
    "nested": NESTED,
}


@pytest.mark.parametrize("space", ALL.values(), ids=ALL)
def test_observations_are_laid_flat_in_gymnasiums_order(space: gym.Space[Any]) -> None:
    space.seed(3)
    shown = [space.sample() for _ in range(3)]
    flat_NO = np.zeros((3, flat_size(space)), flat_dtype(space))
    view = writable(space, flat_NO)
    for n, observation in enumerate(shown):
        view[n] = observation
    expected = np.stack([spaces.flatten(space, observation) for observation in shown])
    np.testing.assert_array_equal(flat_NO, expected.astype(flat_NO.dtype))
    assert expected.any()


def test_parts_lie_where_they_say() -> None:
    NESTED.seed(4)
    shown: Any = NESTED.sample()
    flat = spaces.flatten(NESTED, shown)
    place = {leaf.name: flat[leaf.begin : leaf.end] for leaf in leaves(NESTED)}
    assert list(place) == ["a/image", "a/position", "m", "z/0", "z/1"]
    np.testing.assert_array_equal(place["a/image"], shown["a"]["image"].ravel())
    np.testing.assert_array_equal(place["a/position"], shown["a"]["position"].ravel())
    assert place["z/0"].argmax() == shown["z"][0] + 1
    assert [place["m"][:2].argmax(), place["m"][2:].argmax()] == [shown["m"][0] - 1, shown["m"][1]]
    np.testing.assert_array_equal(place["z/1"], shown["z"][1].ravel())


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (IMAGE, np.uint8),
        (spaces.Dict(a=IMAGE, b=spaces.Box(0, 9, (2,), np.uint8)), np.uint8),
        (spaces.Dict(a=IMAGE, b=spaces.Discrete(3)), np.uint8),
        (spaces.Dict(a=IMAGE, b=VECTOR), np.float32),
        (spaces.Box(-9, 9, (2,), np.float64), np.float32),
        (spaces.Discrete(3), np.float32),
    ],
    ids=str,
)
def test_bytes_stay_bytes_where_they_can(space: gym.Space[Any], dtype: Any) -> None:
    assert flat_dtype(space) == dtype


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Dict(a=VECTOR, b=spaces.Sequence(VECTOR))], ids=str)
def test_what_has_no_fixed_size_is_refused(space: gym.Space[Any]) -> None:
    with pytest.raises(TypeError, match="have no policy"):
        leaves(space)


def test_encoders_are_chosen_by_the_space() -> None:
    assert chosen_encoders(NESTED) == {
        "a/image": "cnn",
        "a/position": "mlp",
        "m": "flat",
        "z/0": "flat",
        "z/1": "flat",
    }
    assert chosen_encoders(IMAGE) == {"": "cnn"}
    assert chosen_encoders(VECTOR, encoder="mlp") == {"": "mlp"}
    named = chosen_encoders(NESTED, encoder="flat", encoders={"a/position": "mlp", "a/image": "auto"})
    assert named == {"a/image": "cnn", "a/position": "mlp", "m": "flat", "z/0": "flat", "z/1": "flat"}


def test_what_is_read_as_it_is_needs_no_encoder() -> None:
    for name in ("scalar", "matrix", "integers", "discrete", "multi discrete", "multi binary"):
        assert chosen_encoders(ALL[name]) is None, name
    bytes_of_a_screen = spaces.Box(0, 255, (8,), np.uint8)
    assert chosen_encoders(bytes_of_a_screen) == {"": "flat"}
    assert chosen_encoders(spaces.Box(0, 9, (8,), np.uint8)) == {"": "flat"}
    assert chosen_encoders(spaces.Dict(a=bytes_of_a_screen, b=VECTOR), encoder="flat") is not None


def test_a_name_of_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no 'imag'; it has a/image, a/position"):
        chosen_encoders(NESTED, encoders={"imag": "cnn"})
