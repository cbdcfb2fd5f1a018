"""Episodes of compared policies, and segments of them."""

from typing import Any

import numpy as np
import pytest
import torch

from cluster.comparison import player
from cluster.comparison.clips import Clips
from cluster.comparison.player import Piece, Player, window
from cluster.runs.config import EnvironmentConfig
from cluster.runs.live_config import PicturesConfig
from hitl.errors import ConfigError
from tests.cluster.comparison.track import LEFT, RIGHT
from tests.cluster.stages.clips import frames_of

TRACK = EnvironmentConfig(id="tests.cluster.comparison.track:Track", fixed_horizon=6)


class Always:
    """Does the same in every state."""

    memory = None

    def __init__(self, action: int) -> None:
        self._action = action

    def act_greedily(self, seen: torch.Tensor, /) -> torch.Tensor:
        return torch.full((len(seen),), self._action)


class Counting:
    """Remembers how many observations it has seen, and acts by that."""

    class _Counter:
        units = 1

        def step(self, seen: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
            return memory + 1

    memory: Any = _Counter()

    def act_greedily(self, seen: torch.Tensor, /) -> torch.Tensor:
        return (seen[:, 0] <= 2).long() * RIGHT


def cut(players: Player, policy: int, *, seed: int = 5, number: int = 7, **where: Any) -> Piece:
    episode = players.play(policy, seed=seed, number=number)
    return players.cut(episode, task_id="task", run_id="run", **{"steps": None, "place": 0.0, **where})


@pytest.mark.parametrize(
    ("durations", "steps", "place", "rows", "begin"),
    [
        ([1, 1, 1, 1], 2, 0.0, [0, 1], 0),
        ([1, 1, 1, 1], 2, 1.0, [2, 3], 2),
        ([1, 1, 1, 1], 2, 0.5, [1, 2], 1),
        ([1, 1, 4], 3, 1.0, [2, 2, 2], 3),
        ([1, 1, 4], 3, 0.4, [1, 2, 2], 1),
        ([1, 1], 5, 0.9, [0, 1], 0),
        ([1, 2], None, 0.9, [0, 1, 1], 0),
    ],
)
def test_a_window_lies_in_its_episode(
    durations: list[int], steps: int | None, place: float, rows: list[int], begin: int
) -> None:
    found, first = window(durations, steps=steps, place=place)
    assert (found.tolist(), first) == (rows, begin)


def test_all_policies_meet_the_same_first_state_and_are_not_told_apart() -> None:
    players = Player(TRACK, [Always(LEFT), Always(RIGHT)])
    left, right = cut(players, 0, number=7, steps=4), cut(players, 1, number=8, steps=4)
    one, other = (np.asarray(piece.segment.observations["obs"]) for piece in (left, right))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_allclose(one[:, 1] - one[0, 1], [0, -1, -2, -3], rtol=1e-5)
    np.testing.assert_allclose(other[:, 1] - other[0, 1], [0, 1, 2, 3], rtol=1e-5)
    assert (left.true_rewards.tolist(), right.true_rewards.tolist()) == ([-1] * 4, [1] * 4)
    assert left.segment.actions.tolist() == [LEFT] * 4
    assert left.segment.segment_id == "comparison/7/0-4"
    assert left.segment.policy_version == right.segment.policy_version
    assert left.segment.address.source == right.segment.address.source
    assert cut(players, 0, seed=6).segment.observations["obs"][0, 0] != one[0, 0]
    assert players.steps == 3 * 6


def test_a_segment_lies_where_it_says() -> None:
    players = Player(TRACK, [Always(RIGHT)])
    piece = cut(players, 0, steps=2, place=1.0)
    address, seen = piece.segment.address, np.asarray(piece.segment.observations["obs"])
    assert (address.begin, address.end, len(piece.segment)) == (4, 6, 2)
    np.testing.assert_allclose(seen[:, 1] - seen[:, 0], [4, 5], rtol=1e-5)


def test_what_is_remembered_begins_anew_with_an_episode() -> None:
    players = Player(TRACK, [Counting()])
    for _ in range(2):
        assert cut(players, 0).segment.actions.tolist() == [RIGHT, RIGHT, LEFT, LEFT, LEFT, LEFT]


def test_where_the_environment_stands_still_it_is_worth_nothing() -> None:
    dial = EnvironmentConfig(id="tests.cluster.stages.dial:Dial", fixed_horizon=14)
    piece = cut(Player(dial, [Always(RIGHT)]), 0)
    assert piece.true_rewards.tolist() == [2.0] * 10 + [0.0] * 4
    assert piece.episode.acted == 10


def test_an_episode_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "LONGEST_EPISODE", 30)
    endless = TRACK.model_copy(update={"fixed_horizon": None})
    assert len(cut(Player(endless, [Always(RIGHT)]), 0).segment) == 30


def test_clips_show_the_states_of_the_segments() -> None:
    clips = Clips.open(TRACK, PicturesConfig(), wanted=True)
    players = Player(TRACK, [Always(LEFT), Always(RIGHT)])
    pieces = [cut(players, 0, number=1, steps=3, place=1.0), cut(players, 1, number=2, steps=3, place=1.0)]
    assert clips is not None
    made = clips.of(pieces)
    assert list(made) == [piece.segment.segment_id for piece in pieces]
    for piece in pieces:
        frames = frames_of(made[piece.segment.segment_id])
        places = [int(frame.astype(float).sum((0, 2)).argmax()) - 32 for frame in frames]
        expected = np.floor(np.asarray(piece.segment.observations["obs"])[:, 1])
        np.testing.assert_allclose(places[: len(expected)], expected, atol=1)


def test_clips_are_made_where_they_can_be() -> None:
    hidden = EnvironmentConfig(id="tests.cluster.comparison.track:Hidden", fixed_horizon=6)
    assert Clips.open(hidden, PicturesConfig(), wanted=None) is None
    assert Clips.open(TRACK, PicturesConfig(), wanted=False) is None
    with pytest.raises(ConfigError, match=r"--clips: environment .*Hidden renders no pictures"):
        Clips.open(hidden, PicturesConfig(), wanted=True)


def test_a_question_has_no_clip_where_nothing_can_be_played_again() -> None:
    whim = EnvironmentConfig(id="tests.cluster.stages.dial:Whim", fixed_horizon=14)
    clips, players = Clips.open(whim, PicturesConfig(), wanted=None), Player(whim, [Always(1)])
    assert clips is not None
    assert clips.of([cut(players, 0), cut(players, 0, number=8)]) == {}
