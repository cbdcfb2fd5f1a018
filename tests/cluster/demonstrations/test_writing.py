"""`handrail export --minari`, on the journal of a run whose stages people took over."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest

from cluster.cli.main import main
from cluster.demonstrations.minari_writing import _as_shown, _spec
from cluster.demonstrations.recorded_run import RecordedRun
from cluster.demonstrations.sources import read_sources
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import save_run
from hitl.errors import ConfigError
from hitl.events import Retraction, Task
from policies.imitation.labels import LabelStore
from policies.spaces import flat_dtype, flat_size, writable
from tests.cluster.demonstrations.datasets import Four
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import Play, seen

SPACES = Four.observation_space, Four.action_space


def new_run(runs: Path, name: str = "run", **config: Any) -> RunFolder:
    """A run whose environment is that of the frames below."""
    folder = RunFolder.create(runs, name, datetime(2026, 1, 2, tzinfo=UTC))
    environment = {"id": "tests.cluster.demonstrations.datasets:Four"}
    save_run(RunConfig.model_validate({"environment": environment, **config}), folder.run_file)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on whose stage the steps to these frames were taken by a teacher, and the service is gone.

    1, 2: the policy; 3 to 6: bob, corrected by ann in the state of frame 5; 7, 8: cid, and nothing follows; 10 to 12:
    bob, taken back; 13: a safe stop of bob; 14 to 80: bob, and 81: the policy.
    """
    folder = new_run(tmp_path_factory.mktemp("runs"))
    service = LiveService(folder.feedback)
    with service.cluster() as client:
        client.register_task(Task(task_id="four", name="Four", fingerprint="{}"))
        live_run = LiveRun(client.open_run(folder.run_id, "four"), client)
        play = Play.open(live_run)
        _acted(play, "", 2)
        _acted(play, "bob", 3)
        seen(service, live_run, 5)
        with (
            service.teacher("ann") as ann,
            ann.watch(live_run.run_id, "stage") as watch,
        ):
            frame = watch.next(10)
            assert frame is not None
            frame.correct(0)
        _acted(play, "bob", 1)
        _acted(play, "cid", 1)
        play.terminated = True
        _acted(play, "cid", 1)
        play.terminated = False
        play.reset()
        eventually(lambda: play.player.unstored == 1)
        _acted(play, "bob", 3)
        play.safe_stop = True
        _acted(play, "bob", 1)
        play.safe_stop = False
        _acted(play, "bob", 67)
        _acted(play, "", 1)
        play.reset()
        eventually(lambda: play.player.unstored == 1)
        with service.teacher("bob") as bob:
            bob.submit([Retraction(run_id=folder.run_id, retracted_event_id="takeover/stage/10")])
        play.player.close()
    service.kill()
    return folder


def _acted(play: Play, teacher_id: str, steps: int) -> None:
    play.teacher_id = teacher_id
    play.step(steps)


def frames(*parts: tuple[int, int]) -> list[int]:
    return [frame for first, last in parts for frame in range(first, last + 1)]


DEMONSTRATED = [((3, 6), "bob", False), ((7, 8), "cid", True), ((14, 80), "bob", False)]
EVERYTHING = [((1, 8), "bob,cid", True), ((10, 81), "bob", False)]


@pytest.mark.parametrize("all_steps", [False, True])
def test_a_dataset_holds_what_was_done_and_what_came_of_it(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], all_steps: bool
) -> None:
    folder = tmp_path / "data" / "people-v0"
    words = ["--all-steps"] if all_steps else []
    assert main(["export", str(run.path), "--minari", str(folder), *words]) == 0
    said = capsys.readouterr().out
    dataset = minari.MinariDataset(folder / "data")
    assert f"the Minari dataset people-v0, {dataset.total_steps} steps in {len(dataset)} pieces" in said
    assert "1 single corrections are not in it" in said
    assert (dataset.observation_space, dataset.action_space) == SPACES
    assert [path.name for path in folder.parent.iterdir()] == ["people-v0"]
    expected = EVERYTHING if all_steps else DEMONSTRATED
    assert len(dataset) == len(expected)
    metadata = dataset.storage.get_episode_metadata(dataset.episode_indices)
    # What a teacher did and has not taken back.
    taught = set(frames(*(steps for steps, *_ in DEMONSTRATED)))
    for episode, about, (steps, teachers, terminated) in zip(dataset, metadata, expected, strict=True):
        done = np.array(frames(steps))
        # The step to frame n is from the state n - 1, by the action n modulo 4, for the reward n.
        np.testing.assert_array_equal(episode.observations[:, 0], np.append(done - 1, done[-1]))
        np.testing.assert_array_equal(episode.actions, done % 4)
        np.testing.assert_array_equal(episode.rewards, done)
        last = done == done[-1]
        np.testing.assert_array_equal(episode.terminations, last & terminated)
        np.testing.assert_array_equal(episode.truncations, last & (not terminated))
        assert episode.infos["demonstrated"].tolist() == [frame in taught for frame in done] + [False]
        began = 0 if done[0] < 9 else 9
        assert (about["stage"], about["stage_episode"], about["begin"]) == (
            "stage",
            began,
            done[0] - began - 1,
        )
        assert about["teachers"] == teachers


def test_labels_of_a_dataset_are_what_was_done(run: RunFolder, tmp_path: Path) -> None:
    folder = tmp_path / "people-v0"
    assert main(["export", str(run.path), "--minari", str(folder)]) == 0
    store = LabelStore(*SPACES, heldout_share=0.0)
    done = np.array(frames(*(steps for steps, *_ in DEMONSTRATED)))
    assert read_sources([str(folder)], store, *SPACES) == len(done)
    np.testing.assert_array_equal(store.labels().observation_BO[:, 0], done - 1)
    np.testing.assert_array_equal(store.labels().action_BA, done % 4)


def test_a_runs_folder_is_a_source_with_corrections_too(run: RunFolder) -> None:
    store = LabelStore(*SPACES, heldout_share=0.0)
    done = frames(*(steps for steps, *_ in DEMONSTRATED))
    assert read_sources([str(run.path)], store, *SPACES) == len(done) + 1
    labels = store.labels()
    pairs = sorted(zip(labels.observation_BO[:, 0].tolist(), labels.action_BA.tolist(), strict=True))
    assert pairs == sorted([*((frame - 1, frame % 4) for frame in done), (5, 0)])


def test_a_run_of_another_task_is_refused(run: RunFolder) -> None:
    both = SPACES[0], gym.spaces.Discrete(3)
    with pytest.raises(ConfigError, match=rf"run {run.run_id}: its actions are not .*Discrete\(3\)"):
        read_sources([str(run.path)], LabelStore(*both), *both)


def test_minari_finds_it_by_its_id(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert main(["export", str(run.path), "--minari", str(tmp_path / "people-v3")]) == 0
    dataset = minari.load_dataset("people-v3")
    assert (dataset.id, len(dataset)) == ("people-v3", 3)
    assert minari.list_local_datasets().keys() == {"people-v3"}


def refused(capsys: pytest.CaptureFixture[str], run: RunFolder, *words: object) -> str:
    assert main(["export", str(run.path), *map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.removeprefix("error: ")


def test_nothing_is_written_over_unasked(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "people-v0"
    folder.mkdir()
    (folder / "mine").touch()
    assert "is there already" in refused(capsys, run, "--minari", folder)
    assert (folder / "mine").exists()
    assert main(["export", str(run.path), "--minari", str(folder), "--overwrite"]) == 0
    assert [path.name for path in folder.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--minari", "{}/people"], "name the folder people-v0"),
        (["--minari", "{}/peo ple-v0"], "is named with a version"),
        (["--minari", "{}/file/people-v0"], "cannot be written"),
        (["--minari", "{}/people-v0", "--feedback", "{}"], "has no journal in"),
        (["--minari", "{}/people-v0", "--format", "onnx"], "--format is about a policy"),
        (["--minari", "{}/people-v0", "--stochastic"], "--stochastic is about a policy"),
        (["--all-steps"], "--all-steps belongs to --minari"),
        (["--feedback", "{}"], "--feedback belongs to --minari"),
    ],
)
def test_a_mistake_is_told(
    run: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    reason: str,
) -> None:
    (tmp_path / "file").touch()
    assert reason in refused(capsys, run, *(word.format(tmp_path) for word in words))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_that_nobody_taught_has_nothing_to_write(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = new_run(tmp_path / "runs", "alone")
    assert "nobody taught it" in refused(capsys, alone, "--minari", tmp_path / "people-v0")
    # The same service, which knows no stage of this run.
    words = ("--minari", tmp_path / "people-v0", "--feedback", run.feedback)
    assert "nobody took the controls of a stage" in refused(capsys, alone, *words)
    assert "no stage has shown a step" in refused(capsys, alone, *words, "--all-steps")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_journal_that_lies_elsewhere_is_named(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = new_run(tmp_path / "runs", feedback={"address": "lab:5710"})
    said = refused(capsys, elsewhere, "--minari", tmp_path / "people-v0")
    assert "the service at lab:5710 keeps it" in said
    assert elsewhere.run_id == run.run_id
    words = ("--minari", str(tmp_path / "people-v0"), "--feedback", str(run.feedback))
    assert main(["export", str(elsewhere.path), *words]) == 0
    assert len(minari.MinariDataset(tmp_path / "people-v0" / "data")) == len(DEMONSTRATED)


def test_observations_are_written_as_the_environment_shows_them() -> None:
    space = gym.spaces.Dict(
        {
            "camera": gym.spaces.Box(0, 255, (2, 3, 1), np.uint8),
            "door": gym.spaces.Discrete(3),
            "arm": gym.spaces.Tuple([gym.spaces.Box(-1, 1, (2,)), gym.spaces.MultiBinary(2)]),
        }
    )
    space.seed(5)
    shown = [space.sample() for _ in range(4)]
    flat_TO = np.zeros((4, flat_size(space)), flat_dtype(space))
    flat = writable(space, flat_TO)
    for step, observation in enumerate(shown):
        flat[step] = observation
    back = _as_shown(space, flat_TO)
    for step, observation in enumerate(shown):
        np.testing.assert_array_equal(back["camera"][step], observation["camera"])
        assert back["door"][step] == observation["door"]
        for part, expected in zip(back["arm"], observation["arm"], strict=True):
            np.testing.assert_allclose(part[step], expected)


def test_the_dataset_says_how_to_make_its_environment(run: RunFolder, tmp_path: Path) -> None:
    cartpole = new_run(
        tmp_path / "runs", environment={"id": "CartPole-v1", "kwargs": {"sutton_barto_reward": True}}
    )
    (cartpole.feedback / "feedback.db").touch()
    recorded = RecordedRun(cartpole)
    assert json.loads(_spec(recorded).to_json())["kwargs"] == {"sutton_barto_reward": True}
    assert _spec(RecordedRun(run)) is None
