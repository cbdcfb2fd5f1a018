"""Episodes that are played again, and the clips that are made of them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from cluster.environments.making import make, make_replayed
from cluster.runs.config import EnvironmentConfig
from cluster.runs.live_config import PicturesConfig
from cluster.stages.episodes import PlayedEpisode
from cluster.stages.pictures import Pictures
from cluster.stages.replay import NotTheSame, Replay
from hitl.events import StepAddress
from hitl.stages import Clip
from tests.cluster.stages.clips import frames_of, place_on
from tests.cluster.stages.dial import END, LEFT, RIGHT, STAY

HORIZON = 40
DRIFT = EnvironmentConfig(id="tests.cluster.stages.dial:Drift", fixed_horizon=HORIZON)
DIAL = DRIFT.model_copy(update={"id": "tests.cluster.stages.dial:Dial"})


def played(
    environment: EnvironmentConfig, *, seed: int = 3, action: int = STAY, turns: int = 0
) -> PlayedEpisode:
    """An episode of a dial up to its horizon; one that turns goes to and fro."""
    env = make(environment)
    episode = PlayedEpisode(number=0, seed=seed)
    observation, _ = env.reset(seed=seed)
    episode.see(observation)
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(action)
        episode.see(observation)
        episode.actions.append(np.array(action))
        action += turns
        turns = -turns
        episode.acted += not info
        over = terminated or truncated
    return episode


def address(begin: int, end: int) -> StepAddress:
    return StepAddress(task_id="t", run_id="r", source="s", episode=0, begin=begin, end=end)


def test_a_replay_shows_what_was_seen() -> None:
    episode = played(DIAL, action=RIGHT)
    clip = Replay(DIAL, Pictures(PicturesConfig())).clip(episode, address(3, 7))
    assert [place_on(frame) for frame in frames_of(clip)] == [3, 4, 5, 6, 7]
    image = Image.open(io.BytesIO(clip.data))
    assert (image.format, image.info["loop"]) == ("WEBP", 0)


def test_where_an_environment_stands_still_its_last_state_is_shown() -> None:
    episode = played(DIAL, action=RIGHT)
    assert (episode.acted, episode.rows) == (END, END + 1)
    clip = Replay(DIAL, Pictures(PicturesConfig())).clip(episode, address(8, 18))
    places = [place_on(frame) for frame in frames_of(clip)]
    assert (places[:3], set(places[3:])) == ([8, 9, 10], {10} if len(places) > 3 else set())
    still = Replay(DIAL, Pictures(PicturesConfig())).clip(episode, address(15, 25))
    assert {place_on(frame) for frame in frames_of(still)} == {END}


def test_a_clip_has_the_environments_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    def milliseconds() -> set[int]:
        clip = Replay(DIAL, Pictures(PicturesConfig())).clip(played(DIAL, action=RIGHT), address(0, 5))
        image = Image.open(io.BytesIO(clip.data))
        return {frame.convert("RGB") and frame.info["duration"] for frame in ImageSequence.Iterator(image)}

    assert milliseconds() == {67}
    monkeypatch.setitem(make_replayed(DIAL).metadata, "render_fps", 50)
    assert milliseconds() == {20}


@pytest.mark.parametrize("environment", [DRIFT, DIAL])
def test_a_replay_of_what_was_not_played_is_refused(environment: EnvironmentConfig) -> None:
    episode, replay = played(environment, action=RIGHT), Replay(environment, Pictures(PicturesConfig()))
    assert replay.clip(episode, address(2, 6))
    episode.actions[4] = np.array(STAY)
    # Up to there all is as it was.
    assert replay.clip(episode, address(0, 4))
    with pytest.raises(NotTheSame, match="at step 5"):
        replay.clip(episode, address(2, 6))
    # Even where the difference is not in the segment itself.
    with pytest.raises(NotTheSame):
        replay.clip(episode, address(7, 9))
    episode.actions[4] = np.array(RIGHT)
    assert replay.clip(episode, address(7, 9))


def test_another_seed_is_another_episode() -> None:
    episode, replay = played(DRIFT, seed=3), Replay(DRIFT, Pictures(PicturesConfig()))
    assert replay.clip(episode, address(0, 10))
    episode.seed = 4
    with pytest.raises(NotTheSame):
        replay.clip(episode, address(0, 10))


def test_a_long_segment_leaves_steps_out() -> None:
    long = DIAL.model_copy(update={"fixed_horizon": 900})
    clip = Replay(long, Pictures(PicturesConfig())).clip(played(long, action=LEFT, turns=2), address(0, 800))
    frames = frames_of(clip)
    # Every sixth of 801 states is even, so all that are shown look alike but for the last.
    assert 1 <= len(frames) <= 150
    short = Replay(long, Pictures(PicturesConfig())).clip(played(long, action=LEFT, turns=2), address(0, 40))
    assert len(frames_of(short)) == 41


NOISE = [
    Image.fromarray(np.random.default_rng(n).integers(0, 255, (200, 300, 3)).astype(np.uint8))
    for n in range(8)
]


@pytest.mark.parametrize("most_bytes", [100_000, 10_000, 2_000])
def test_a_clip_is_bounded(most_bytes: int) -> None:
    encoded = Pictures(PicturesConfig(most_clip_bytes=most_bytes)).animate(NOISE, seconds_per_frame=0.1)
    assert len(encoded) <= most_bytes
    assert len(frames_of(Clip(data=encoded))) == len(NOISE)


def test_a_clips_pictures_are_scaled_down() -> None:
    pictures = Pictures(PicturesConfig(longest_side=100))
    frames = [pictures.scaled(np.asarray(image)) for image in NOISE]
    assert Image.open(io.BytesIO(pictures.animate(frames, seconds_per_frame=0.1))).size == (100, 67)
