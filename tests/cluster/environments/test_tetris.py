import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from cluster.environments.tetris import (
    ACTIONS,
    COLUMNS,
    PIECES,
    ROWS,
    Tetris,
    afterstate_features,
    column_heights,
    column_transitions,
    hole_depth,
    holes,
    placements,
    read_observation,
    row_transitions,
    rows_with_holes,
    wells,
)

# Rows from the top, as one writes them.
SHAPES = [
    ["XXXX"],
    ["XX", "XX"],
    ["XXX", ".X."],
    [".XX", "XX."],
    ["XX.", ".XX"],
    ["XXX", "..X"],
    ["XXX", "X.."],
]


def boards() -> list[np.ndarray]:
    """Boards in the middle of games, some with rows that one piece fills."""
    rng = np.random.default_rng(0)
    made = [np.zeros((ROWS, COLUMNS), bool)]
    for _ in range(6):
        board = np.zeros((ROWS, COLUMNS), bool)
        for column in range(COLUMNS):
            height = rng.integers(0, 15)
            board[:height, column] = rng.random(height) < 0.9
        made.append(board)
    nearly_full = np.zeros((ROWS, COLUMNS), bool)
    nearly_full[:6] = True
    nearly_full[:4, 3] = nearly_full[5, :4] = nearly_full[4, 7] = False
    two_wide = np.zeros((ROWS, COLUMNS), bool)
    two_wide[:3] = True
    two_wide[1:3, 4:6] = two_wide[1, 6] = two_wide[2, 6] = False
    stairs = two_wide.copy()
    stairs[1, 6] = True
    # Some pieces just fit below the top, and others do not.
    tall = np.zeros((ROWS, COLUMNS), bool)
    tall[:18, 1:] = True
    return [*made, nearly_full, two_wide, stairs, tall]


def drop(board: np.ndarray, piece: int, action: int) -> tuple[np.ndarray, int, int, bool]:
    """Lower a piece cell by cell; returns the board, rows that vanished, cells of the piece in them, and if it fits."""
    shape = np.array([[cell == "X" for cell in row] for row in SHAPES[piece]])[::-1]
    shape = np.rot90(shape, action // COLUMNS)
    rows, columns = shape.shape
    left = min(action % COLUMNS, COLUMNS - columns)
    tall = np.zeros((ROWS + 10, COLUMNS), bool)
    tall[:ROWS] = board
    bottom = ROWS + 4
    while bottom > 0 and not (tall[bottom - 1 : bottom - 1 + rows, left : left + columns] & shape).any():
        bottom -= 1
    mine = np.zeros_like(tall)
    mine[bottom : bottom + rows, left : left + columns] = shape
    tall |= mine
    fits = not tall[ROWS:].any()
    full = [row for row in range(len(tall)) if tall[row].all()]
    eroded = sum(int(mine[row].sum()) for row in full)
    kept = [tall[row] for row in range(len(tall)) if row not in full]
    kept += [np.zeros(COLUMNS, bool)] * len(full)
    return np.array(kept)[:ROWS], len(full), eroded, fits


@pytest.mark.parametrize("piece", range(PIECES))
def test_pieces_drop_as_if_lowered_cell_by_cell(piece: int) -> None:
    vanished = 0
    for board in boards():
        after = placements(board, piece)
        for action in range(ACTIONS):
            expected, lines, eroded, fits = drop(board, piece, action)
            np.testing.assert_array_equal(after.board_ARC[action], expected)
            assert (after.lines_A[action], after.eroded_A[action], after.fits_A[action]) == (
                lines,
                eroded,
                fits,
            )
            vanished += lines
    assert vanished > 0


def test_a_column_is_as_high_as_its_topmost_cell() -> None:
    for board in boards():
        slowly = [max((row + 1 for row in range(ROWS) if board[row, c]), default=0) for c in range(COLUMNS)]
        heights_AC = column_heights(board[None])
        assert heights_AC[0].tolist() == slowly
        covered = sum(not board[row, c] for c in range(COLUMNS) for row in range(slowly[c]))
        assert holes(board[None], heights_AC).tolist() == [covered]


def test_the_environment_is_one_of_gymnasiums() -> None:
    check_env(Tetris(render_mode="rgb_array"))


def test_a_game_pays_a_row_each_and_ends_when_a_piece_does_not_fit() -> None:
    env = Tetris()
    observation, _ = env.reset(seed=4)
    rng = np.random.default_rng(4)
    ended, pieces = False, 0
    while not ended:
        board, piece = read_observation(observation)
        action = rng.integers(ACTIONS)
        expected, lines, _, fits = drop(board, piece, action)
        observation, reward, ended, truncated, _ = env.step(action)
        assert (reward, ended, truncated) == (lines, not fits, False)
        np.testing.assert_array_equal(read_observation(observation)[0], expected)
        pieces += 1
    assert 5 < pieces < 200


def slow_numbers(board: np.ndarray) -> list[int]:
    """Transitions in rows and columns, holes, wells, depth of the holes, rows with holes; cell by cell."""
    tops = [max((row + 1 for row in range(ROWS) if board[row, c]), default=0) for c in range(COLUMNS)]

    def full(row: int, column: int) -> bool:
        return row < 0 or column < 0 or column >= COLUMNS or bool(board[row, column])

    in_rows = sum(full(r, c) != full(r, c + 1) for r in range(ROWS) for c in range(-1, COLUMNS))
    in_columns = sum(full(r, c) != full(r + 1, c) for c in range(COLUMNS) for r in range(-1, ROWS - 1))
    empty = [(r, c) for c in range(COLUMNS) for r in range(tops[c]) if not board[r, c]]
    well = 0
    for c in range(COLUMNS):
        depth = 0
        for r in reversed(range(ROWS)):
            inside = not full(r, c) and full(r, c - 1) and full(r, c + 1)
            depth = depth + 1 if inside else 0
            well += depth
    deep = sum(
        bool(board[r, c]) and any(not board[below, c] for below in range(r))
        for r in range(ROWS)
        for c in range(COLUMNS)
    )
    return [in_rows, in_columns, len(empty), well, deep, len({r for r, _ in empty})]


def test_features_are_what_a_placement_does_to_the_board() -> None:
    env = Tetris()
    observation, _ = env.reset(seed=1)
    for action in (0, 4, 8, 2, 15, 27, 30):
        observation, *_ = env.step(action)
    board, piece = read_observation(observation)
    after = placements(board, piece)
    found = afterstate_features(np.stack([observation, observation]))
    assert found.shape == (2, ACTIONS, 8)
    sizes = [10, 4, 4, 4, 2, 4, 4, 2]
    for action in range(ACTIONS):
        change = np.subtract(slow_numbers(drop(board, piece, action)[0]), slow_numbers(board))
        landing = after.bottom_A[action] + (after.height_A[action] - 1) / 2
        own = [landing, after.lines_A[action] * after.eroded_A[action]]
        np.testing.assert_allclose(found[1, action] * sizes, [*own, *change], atol=1e-5)


@pytest.mark.parametrize("number", range(len(boards())))
def test_numbers_of_a_board_are_counted_cell_by_cell(number: int) -> None:
    board = boards()[number][None]
    heights = column_heights(board)
    found = [
        row_transitions(board),
        column_transitions(board),
        holes(board, heights),
        wells(board),
        hole_depth(board),
        rows_with_holes(board, heights),
    ]
    assert [int(count[0]) for count in found] == slow_numbers(board[0])


def test_a_picture_shows_the_cells() -> None:
    env = Tetris(render_mode="rgb_array")
    env.reset(seed=0)
    empty = env.render()
    env.step(np.int64(0))
    assert empty.shape == ((ROWS + 3) * 12, COLUMNS * 12, 3)
    assert (env.render()[-12:] != empty[-12:]).any()
