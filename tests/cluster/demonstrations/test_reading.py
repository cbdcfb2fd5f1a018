"""What a run reads of Minari datasets, and why it refuses some."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from cluster.demonstrations.minari_reading import dataset_folder, read_dataset
from cluster.demonstrations.same_spaces import check_spaces
from cluster.demonstrations.sources import read_sources
from docs.examples.demonstrate_balance import demonstrate
from hitl.errors import ConfigError
from hitl.teachers.cartpole import Balancer
from policies.imitation.labels import Labels, LabelStore
from tests.cluster.demonstrations.datasets import CARTPOLE, balanced, write

CARTPOLE_SPACES = CARTPOLE.observation_space, CARTPOLE.action_space
PLACE = spaces.Box(-10.0, 10.0, (1,), np.float32)


def labels_of(source: object, *both: Any, heldout_share: float = 0.0) -> Labels:
    """What is learnt of a dataset in a task with these spaces; CartPole's if there are none."""
    both = both or CARTPOLE_SPACES
    store = LabelStore(*both, heldout_share=heldout_share)
    assert read_sources([str(source)], store, *both) == len(store.labels())
    return store.labels()


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_every_step_is_a_label(tmp_path: Path, data_format: str) -> None:
    labels = labels_of(balanced(tmp_path / "balance-v0", data_format=data_format))
    assert len(labels) == 3 * 500
    assert labels.action_BA.tolist() == [Balancer().act(o) for o in labels.observation_BO]
    for first, seed in ((0, 0), (500, 1), (1000, 2)):
        np.testing.assert_array_equal(labels.observation_BO[first], CARTPOLE.reset(seed=seed)[0])


def test_episodes_are_held_out_whole(tmp_path: Path) -> None:
    labels = labels_of(balanced(tmp_path / "balance-v0", episodes=8), heldout_share=0.4)
    by_episode = labels.heldout_B.reshape(8, 500)
    assert (by_episode == by_episode[:, :1]).all()
    assert 0 < by_episode[:, 0].sum() < 8


def test_a_dataset_is_found_by_its_id_and_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with pytest.warns(UserWarning, match="set to None"):
        demonstrate("people/balance-v0", episodes=1)
    folder = tmp_path / "people" / "balance-v0"
    for source in ("minari:people/balance-v0", str(folder), str(folder / "data")):
        assert dataset_folder(source) == folder / "data"
        assert len(labels_of(source)) == 500


def test_named_twice_it_counts_once(tmp_path: Path) -> None:
    folder, other = (str(balanced(tmp_path / name / "balance-v0", episodes=1)) for name in ("here", "there"))
    store = LabelStore(*CARTPOLE_SPACES)
    assert read_sources([folder, folder], store, *CARTPOLE_SPACES) == len(store.labels()) == 500
    # Another one, with the same id.
    assert read_sources([other], store, *CARTPOLE_SPACES) == 500
    assert len(store.labels()) == 1000


def test_parts_of_an_observation_are_laid_flat_as_the_policy_sees_them(tmp_path: Path) -> None:
    space = spaces.Dict({"place": PLACE, "door": spaces.Discrete(3), "both": spaces.Tuple([PLACE, PLACE])})
    seen = {
        "place": np.array([[1.0], [2.0], [3.0]], np.float32),
        "door": np.array([0, 2, 1]),
        "both": (np.array([[4.0], [5.0], [6.0]], np.float32), np.array([[7.0], [8.0], [9.0]], np.float32)),
    }
    actions = spaces.MultiDiscrete([2, 3])
    folder = write(tmp_path / "parts-v0", [(seen, np.array([[0, 2], [1, 0]]))], space, actions)
    labels = labels_of(folder, space, actions)
    rows = [
        {"place": seen["place"][n], "door": seen["door"][n], "both": (seen["both"][0][n], seen["both"][1][n])}
        for n in range(2)
    ]
    expected = np.stack([spaces.flatten(space, row) for row in rows])
    np.testing.assert_array_equal(labels.observation_BO, expected)
    assert labels.action_BA.tolist() == [[0, 2], [1, 0]]


def refused(source: object, *both: Any) -> str:
    with pytest.raises(ConfigError) as error:
        labels_of(source, *both)
    said = str(error.value)
    assert said.startswith("imitation.demonstrations: ")
    return said


@pytest.mark.parametrize(
    ("both", "reason"),
    [
        ((PLACE, spaces.Discrete(2)), r"its observations are not this task's: Box\(.*\(4,\).*\(1,\)"),
        ((CARTPOLE.observation_space, spaces.Discrete(3)), r"its actions .*Discrete\(2\), .* Discrete\(3\)"),
        ((CARTPOLE.observation_space, PLACE), r"its actions .*Discrete\(2\), but the task has Box"),
        ((spaces.Dict({"a": PLACE}), spaces.Discrete(2)), "its observations .* but the task has Dict"),
    ],
)
def test_another_task_is_refused_with_what_differs(tmp_path: Path, both: Any, reason: str) -> None:
    folder = balanced(tmp_path / "balance-v0", episodes=1)
    said = refused(folder, *both)
    assert re.search(reason, said), said
    assert str(folder) in said


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [
        (spaces.Box(-1, 1, (2,)), spaces.Box(-2, 2, (2,)), (True, False)),
        (spaces.Box(-1, 1, (2,), np.float64), spaces.Box(-1, 1, (2,), np.float32), (True, True)),
        (spaces.Box(0, 255, (2,), np.uint8), spaces.Box(0, 255, (2,), np.float32), (False, False)),
        (spaces.Box(0, 255, (2,), np.uint8), spaces.Box(0, 255, (2,), np.int32), (False, False)),
        (spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (2, 1)), (False, False)),
        (spaces.Discrete(3), spaces.Discrete(3, start=1), (False, False)),
        (spaces.Dict({"a": PLACE}), spaces.Dict({"b": PLACE}), (False, False)),
        (spaces.Dict({"a": PLACE}), spaces.Dict({"a": spaces.Discrete(2)}), (False, False)),
        (
            spaces.Tuple([PLACE, spaces.Discrete(2)]),
            spaces.Tuple([PLACE, spaces.Discrete(3)]),
            (False, False),
        ),
        (spaces.Tuple([PLACE]), spaces.Tuple([PLACE, PLACE]), (False, False)),
        (spaces.Tuple([PLACE]), spaces.Dict({"0": PLACE}), (False, False)),
        (spaces.Dict({"a": PLACE}), PLACE, (False, False)),
        (spaces.MultiBinary(3), spaces.MultiBinary(3), (True, True)),
    ],
)
def test_bounds_count_for_actions_alone(theirs: Any, ours: Any, same: tuple[bool, bool]) -> None:
    for pair, expected in (((theirs, PLACE), same[0]), ((PLACE, theirs), same[1])):
        of_task = tuple(ours if space is theirs else space for space in pair)
        if expected:
            check_spaces(*pair, of_task=of_task)  # type: ignore[arg-type]
        else:
            with pytest.raises(ValueError, match="but the task has"):
                check_spaces(*pair, of_task=of_task)  # type: ignore[arg-type]


def test_what_is_not_there_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert f"no dataset in {tmp_path / 'none'}; name the folder of a Minari" in refused(tmp_path / "none")
    assert "fetch it first with `minari download D4RL/door-v2`" in refused("minari:D4RL/door-v2")


def _cut_in_half(folder: Path) -> None:
    file = folder / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _no_json(folder: Path) -> None:
    (folder / "data" / "metadata.json").write_text("{")


def _change(**values: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "data" / "metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        _cut_in_half,
        _no_json,
        _change(total_episodes=4),
        _change(minari_version="99.0"),
        _change(data_format="papyrus"),
        _change(observation_space='{"type": "Sphere"}'),
        lambda folder: (folder / "data" / "main_data.hdf5").unlink(),
    ],
)
def test_a_damaged_dataset_is_refused(tmp_path: Path, spoil: Any) -> None:
    folder = balanced(tmp_path / "balance-v0", episodes=1)
    spoil(folder)
    assert f"{folder} cannot be imitated: " in refused(folder)


@pytest.mark.parametrize(
    ("observations", "actions", "reason"),
    [
        ([[0.0]], [0, 1], "1 observations for 2 actions"),
        ([[0.0]] * 4, [0, 1], "4 observations for 2 actions"),
        ([[np.nan]] * 3, [0, 1], "not finite"),
        ([[0.0]] * 3, [0, 2], "outside of Discrete"),
        ([[0.0]] * 3, [0.5, 1.0], "actions are float64"),
    ],
)
def test_data_that_nobody_can_learn_from_is_refused(
    tmp_path: Path, observations: Any, actions: Any, reason: str
) -> None:
    shown = np.array(observations, np.float32)
    folder = write(tmp_path / "odd-v0", [(shown, np.array(actions))], PLACE, spaces.Discrete(2))
    assert reason in refused(folder, PLACE, spaces.Discrete(2))


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "empty-v0", [], PLACE, spaces.Discrete(2))
    assert "nothing was demonstrated there" in refused(folder, PLACE, spaces.Discrete(2))


def test_without_minari_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = balanced(tmp_path / "balance-v0", episodes=1)
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[minari\]"):
        list(read_dataset(str(folder), *CARTPOLE_SPACES))
