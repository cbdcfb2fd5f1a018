"""Tetris as a game of placements: 20 rows, 10 columns, seven pieces, one decision a piece.

The rules of the literature (Bertsekas and Tsitsiklis 1996, section 8.3): the player sees the board and the piece and
chooses its rotation and column; the piece drops straight down, and full rows vanish. The game ends when a piece does
not fit any more.

Axis suffixes: A action, R row from the bottom, C column, F feature, N observation.
"""

from dataclasses import dataclass
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

ROWS: Final = 20
COLUMNS: Final = 10
ROTATIONS: Final = 4
ACTIONS: Final = ROTATIONS * COLUMNS

_PIECES: Final = {
    "I": ("XXXX",),
    "O": ("XX", "XX"),
    "T": ("XXX", ".X."),
    "S": (".XX", "XX."),
    "Z": ("XX.", ".XX"),
    "J": ("XXX", "..X"),
    "L": ("XXX", "X.."),
}
PIECES: Final = len(_PIECES)
OBSERVATION_SIZE: Final = ROWS * COLUMNS + PIECES

Bits = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Orientation:
    """A piece in one rotation: its four cells, and how far above its lowest one each of its columns begins."""

    row: Ints
    column: Ints
    low_C: Ints

    @property
    def height(self) -> int:
        return int(self.row.max()) + 1

    @property
    def width(self) -> int:
        return len(self.low_C)


def _orientations(picture: tuple[str, ...]) -> list[_Orientation]:
    cells = np.array([[letter == "X" for letter in line] for line in reversed(picture)])
    turned = []
    for rotation in range(ROTATIONS):
        row, column = np.nonzero(np.rot90(cells, rotation))
        low_C = np.array([row[column == c].min() for c in range(column.max() + 1)])
        turned.append(_Orientation(row, column, low_C))
    return turned


_ORIENTATIONS: Final = [_orientations(picture) for picture in _PIECES.values()]


@dataclass(frozen=True, slots=True)
class Placements:
    """What each action leads to. Actions that differ in nothing lead to the same."""

    board_ARC: Bits
    """After full rows have vanished."""
    lines_A: Ints
    """Rows that vanished."""
    eroded_A: Ints
    """Cells of the piece that vanished with them."""
    bottom_A: Ints
    """Height at which the piece came to rest."""
    height_A: Ints
    """Rows that the piece takes."""
    fits_A: Bits
    """False where the piece would stick out at the top: the game is over."""


def placements(board_RC: Bits, piece: int) -> Placements:
    """Drop a piece in every rotation on every column; columns too far to the right are those at the wall."""
    heights_C = column_heights(board_RC[None])[0]
    bottom_A, height_A = np.empty(ACTIONS, np.int64), np.empty(ACTIONS, np.int64)
    row_A4, column_A4 = np.empty((ACTIONS, 4), np.int64), np.empty((ACTIONS, 4), np.int64)
    for rotation, orientation in enumerate(_ORIENTATIONS[piece]):
        places = slice(rotation * COLUMNS, (rotation + 1) * COLUMNS)
        left_C = np.minimum(np.arange(COLUMNS), COLUMNS - orientation.width)
        under = left_C[:, None] + np.arange(orientation.width)
        bottom_A[places] = (heights_C[under] - orientation.low_C).max(1)
        height_A[places] = orientation.height
        row_A4[places] = bottom_A[places, None] + orientation.row
        column_A4[places] = left_C[:, None] + orientation.column
    fits_A = bottom_A + height_A <= ROWS
    action_A = np.arange(ACTIONS)[:, None]
    board_ARC = np.zeros((ACTIONS, ROWS + ROTATIONS, COLUMNS), bool)
    board_ARC[:, :ROWS] = board_RC
    board_ARC[action_A, row_A4, column_A4] = True
    full_AR: Bits = np.all(board_ARC, axis=2)
    eroded_A = full_AR[action_A, row_A4].sum(1)
    if full_AR.any():
        # Rows that stay sink, in their order; the full ones go to the top and are emptied.
        order_AR = np.argsort(full_AR, axis=1, kind="stable")
        board_ARC[full_AR] = False
        board_ARC = np.take_along_axis(board_ARC, order_AR[:, :, None], 1)
    lines_A = full_AR.sum(1)
    return Placements(board_ARC[:, :ROWS], lines_A, eroded_A, bottom_A, height_A, fits_A)


def column_heights(board_ARC: Bits) -> Ints:
    """Return the height of each column, [A, C]."""
    from_top_ARC = board_ARC[:, ::-1]
    heights_AC: Ints = np.where(from_top_ARC.any(1), board_ARC.shape[1] - from_top_ARC.argmax(1), 0)
    return heights_AC


def holes(board_ARC: Bits, heights_AC: Ints) -> Ints:
    """Return the number of empty cells below the top of their column, [A]."""
    count_A: Ints = heights_AC.sum(1) - board_ARC.sum((1, 2))
    return count_A


def read_observation(observation_O: NDArray[Any]) -> tuple[Bits, int]:
    """Return the board [R, C] and the piece of an observation."""
    return observation_O[: ROWS * COLUMNS].reshape(ROWS, COLUMNS) > 0, int(
        observation_O[ROWS * COLUMNS :].argmax()
    )


def row_transitions(board_ARC: Bits) -> Ints:
    """Return how often full and empty cells are neighbours in a row, with walls at both sides, [A]."""
    walled = np.pad(board_ARC, ((0, 0), (0, 0), (1, 1)), constant_values=True)
    count_A: Ints = (walled[:, :, 1:] != walled[:, :, :-1]).sum((1, 2))
    return count_A


def column_transitions(board_ARC: Bits) -> Ints:
    """Return how often full and empty cells are neighbours in a column, with a floor below, [A]."""
    floored = np.pad(board_ARC, ((0, 0), (1, 0), (0, 0)), constant_values=True)
    count_A: Ints = (floored[:, 1:] != floored[:, :-1]).sum((1, 2))
    return count_A


def wells(board_ARC: Bits) -> Ints:
    """Return the sum over all wells of 1 + 2 + ... + depth, [A]: empty cells with full ones at both sides."""
    walled = np.pad(board_ARC, ((0, 0), (0, 0), (1, 1)), constant_values=True)
    inside_ARC = ~board_ARC & walled[:, :, :-2] & walled[:, :, 2:]
    depth_AC, total_A = np.zeros(inside_ARC[:, 0].shape, np.int64), np.zeros(len(board_ARC), np.int64)
    for row in reversed(range(ROWS)):
        depth_AC = np.where(inside_ARC[:, row], depth_AC + 1, 0)
        total_A += depth_AC.sum(1)
    return total_A


def hole_depth(board_ARC: Bits) -> Ints:
    """Return the full cells above holes in their columns, [A]."""
    empty_below = np.logical_or.accumulate(~board_ARC, axis=1)
    count_A: Ints = (board_ARC & empty_below).sum((1, 2))
    return count_A


def rows_with_holes(board_ARC: Bits, heights_AC: Ints) -> Ints:
    """Return how many rows have a hole, [A]."""
    covered = np.arange(ROWS)[:, None] < heights_AC[:, None]
    count_A: Ints = (covered & ~board_ARC).any(2).sum(1)
    return count_A


def afterstate_features(observation_NO: NDArray[Any]) -> Floats:
    """Return what is known of the outcome of each action, [N, A, F], in numbers of about the same size.

    The features are the height at which the piece comes to rest, the rows that vanish times the piece's cells in them,
    the changes of six numbers of the board (transitions in rows and in columns, holes, wells, depth of the holes, rows
    with holes). Source: Thiery and Scherrer 2009, "Improvements on learning Tetris with cross entropy",
    section 4 (there without changes).
    """
    return np.stack([_outcome(*read_observation(observation_O)) for observation_O in observation_NO])


_SIZES: Final = np.array([10, 4, 4, 4, 2, 4, 4, 2], np.float32)


def _outcome(board_RC: Bits, piece: int) -> Floats:
    after = placements(board_RC, piece)
    change_AF = _shape(after.board_ARC) - _shape(board_RC[None])
    landing_A = after.bottom_A + (after.height_A - 1) / 2
    own_AF = np.stack([landing_A, after.lines_A * after.eroded_A], 1)
    return np.concatenate([own_AF, change_AF], 1).astype(np.float32) / _SIZES


def _shape(board_ARC: Bits) -> Ints:
    """Return the six numbers of each board, [A, 6]."""
    heights_AC = column_heights(board_ARC)
    numbers = (
        row_transitions(board_ARC),
        column_transitions(board_ARC),
        holes(board_ARC, heights_AC),
        wells(board_ARC),
        hole_depth(board_ARC),
        rows_with_holes(board_ARC, heights_AC),
    )
    return np.stack(numbers, 1)


class Tetris(gym.Env[NDArray[np.uint8], np.int64]):
    """One piece a step; the reward is the number of rows that vanish.

    Observations are the board's cells, row by row from the bottom, and the piece as one-hot, uint8[207]. Action
    `rotation * 10 + column` drops the piece, turned so many quarters, with its left edge on that column.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 1, (OBSERVATION_SIZE,), np.uint8)
        self.action_space = gym.spaces.Discrete(ACTIONS)
        self._board_RC = np.zeros((ROWS, COLUMNS), bool)
        self._piece = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start with an empty board."""
        super().reset(seed=seed)
        self._board_RC = np.zeros((ROWS, COLUMNS), bool)
        self._piece = int(self.np_random.integers(PIECES))
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Drop the piece."""
        after = placements(self._board_RC, self._piece)
        self._board_RC = after.board_ARC[action]
        self._piece = int(self.np_random.integers(PIECES))
        return self._observation(), float(after.lines_A[action]), not after.fits_A[action], False, {}

    def _observation(self) -> NDArray[np.uint8]:
        observation = np.zeros(OBSERVATION_SIZE, np.uint8)
        observation[: ROWS * COLUMNS] = self._board_RC.ravel()
        observation[ROWS * COLUMNS + self._piece] = 1
        return observation

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        """Return a picture of the board with the next piece above it, uint8[height, width, 3]."""
        orientation = _ORIENTATIONS[self._piece][0]
        cells = np.zeros((ROWS + 3, COLUMNS), np.uint8)
        cells[:ROWS] = self._board_RC
        cells[ROWS + orientation.row, 3 + orientation.column] = 2
        colours = np.array([[24, 26, 32], [86, 156, 214], [229, 192, 88]], np.uint8)
        pixels: NDArray[np.uint8] = colours[cells[::-1]].repeat(12, 0).repeat(12, 1)
        pixels[::12] = pixels[:, ::12] = 40
        return pixels
