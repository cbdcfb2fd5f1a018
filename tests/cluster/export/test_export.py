"""`handrail export`, on a run that was trained."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from cluster.cli.main import main
from cluster.export.file_format import quiet
from cluster.export.policy_file import FORMATS, export_policy
from cluster.export.torchscript import TorchScript
from cluster.export.verification import random_observations
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning.saved_policy import load_saved_policy
from cluster.runs import checkpoints
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import save_run
from hitl.errors import HandrailError
from policies.acting.deployment import Deployment
from tests.cluster.export.deployed import greedy, run_without

RUN = {
    "mode": "lockstep",
    "rollouts": {"env_runners": 0, "envs_per_runner": 2, "steps": 8},
    "environment": {"id": "tests.cluster.identities:Identity", "kwargs": {"kind": "dict"}},
    "policy": {"hidden": (8,), "normalise_observations": True, "filters": [[4, 3, 2]], "image_features": 16},
    "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
    "learner": {"minibatch_size": 8, "device": "cpu"},
}
OURS = {"policies", "hitl", "cluster", "ray", "gymnasium"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ray_session: str) -> RunFolder:
    """A run with two checkpoints."""
    config = RunConfig.model_validate(RUN)
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "walk", datetime(2026, 1, 2, tzinfo=UTC))
    save_run(config, folder.run_file)
    algorithm = HITL(HITLConfig.from_run(config))
    for _ in range(2):
        algorithm.train()
        checkpoints.write(
            folder.checkpoints,
            number=algorithm.env_steps,
            save=lambda path: algorithm.save_to_path(path.absolute()),
            keep=2,
        )
    algorithm.stop()
    return folder


def export(folder: RunFolder, *words: object) -> int:
    return main(["export", str(folder.path), *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], folder: RunFolder, *words: object) -> str:
    assert export(folder, *words) == 2
    return capsys.readouterr().err.removeprefix("error: ")


def _usages(said: str) -> list[str]:
    """The programs that are printed, in the order of the files."""
    blocks = [block for block in said.split("\n\n") if block.startswith("    ")]
    return ["\n".join(line[4:] for line in block.splitlines()) for block in blocks]


def test_files_run_without_handrail_as_they_say(
    folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(folder, "--format", "both", "--output", tmp_path / "robot" / "walk", "--stochastic") == 0
    usages = dict(zip(FORMATS, _usages(capsys.readouterr().out), strict=True))
    files = {path.name for path in (tmp_path / "robot").iterdir()}
    assert files == {"walk.pt", "walk.pt.json", "walk.onnx", "walk.onnx.json"}
    newest = checkpoints.newest(folder.checkpoints)
    assert newest is not None
    saved = load_saved_policy(newest)
    observation = random_observations(saved.observation_space, 5)
    np.save(tmp_path / "observation.npy", observation)
    expected = greedy(saved.network, saved.action_space, observation).tolist()
    for name, usage in usages.items():
        *before, _ = usage.splitlines()
        (made,) = [line for line in before if line.startswith("observation =")]
        loaded = "np.load('observation.npy')"
        ours = f"torch.from_numpy({loaded})" if name == "torchscript" else loaded
        program = (
            f"{usage}\nprint(list(action.shape) + list(log_probabilities.shape))\nimport numpy as np\n"
            f"{usage.replace(made, f'observation = {ours}')}\nprint(action.tolist())"
        )
        without = OURS | ({"torch"} if name == "onnx" else {"onnx"})
        shapes, action = run_without(without, program, tmp_path).splitlines()
        assert json.loads(shapes) == [1, 3, 1, 9]
        assert json.loads(action) == expected


def test_what_a_file_says_about_itself(folder: RunFolder, tmp_path: Path) -> None:
    formats = list(FORMATS.values())
    script, graph = export_policy(folder, formats, output=tmp_path / "policy")
    inside = {"handrail.json": ""}
    with quiet():
        torch.jit.load(script.path, _extra_files=inside)
    session = onnxruntime.InferenceSession(graph.path)
    for exported, said in (
        (script, inside["handrail.json"]),
        (graph, session.get_modelmeta().custom_metadata_map["handrail.json"]),
    ):
        assert json.loads(said) == json.loads(exported.description.read_text())
        assert json.loads(said) == json.loads(json.dumps(exported.contract))
    about = json.loads(inside["handrail.json"])
    assert (about["format"], about["run"], about["checkpoint"]) == (
        "torchscript",
        folder.run_id,
        "000000000032",
    )
    assert about["policy_version"] == 3
    assert about["environment"] == RUN["environment"]
    assert about["network"]["filters"] == [[4, 3, 2]]
    assert about["inputs"] == [{"name": "observation", "dtype": "float32", "shape": ["batch", 68]}]
    assert about["outputs"] == [{"name": "action", "dtype": "int64", "shape": ["batch", 3]}]
    assert about["action"]["options"] == [4, 2, 3]
    image, number, choice = about["observation"]["parts"]
    numbers = "numbers, the last axis changes fastest"
    assert image == {
        "name": "image", "begin": 0, "end": 64, "layout": numbers, "shape": [8, 8, 1], "low": 0, "high": 255
    }  # fmt: skip
    assert (number["name"], number["begin"], number["end"]) == ("number", 64, 65)
    assert choice == {"name": "choice", "begin": 65, "end": 68, "layout": "one-hot", "start": 0}
    (port,) = session.get_inputs()
    assert (port.name, port.shape, port.type) == ("observation", ["batch", 68], "tensor(float)")


def test_a_file_is_in_the_runs_folder_or_where_one_says(
    folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(folder) == 0
    assert (folder.exports / f"{folder.run_id}-000000000032.pt").is_file()
    assert export(folder, "--checkpoint", "000000000016", "--output", tmp_path) == 0
    assert (tmp_path / f"{folder.run_id}-000000000016.pt").is_file()
    said = capsys.readouterr().out
    assert "policy version 2" in said
    assert "    action, = policy(observation)" in said
    assert export(folder, "--output", tmp_path / "a.pt") == 0
    assert "a.pt is there already" in refused(capsys, folder, "--output", tmp_path / "a.pt")
    before = (tmp_path / "a.pt").stat().st_mtime_ns
    assert export(folder, "--output", tmp_path / "a.pt", "--overwrite") == 0
    assert (tmp_path / "a.pt").stat().st_mtime_ns > before


def test_mistakes_are_told_with_what_to_do(
    folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    young = RunFolder.create(tmp_path, "young", datetime(2026, 1, 2, tzinfo=UTC))
    save_run(RunConfig.model_validate(RUN), young.run_file)
    assert "has no checkpoint yet" in refused(capsys, young)
    message = refused(capsys, folder, "--checkpoint", "7")
    assert "no checkpoint 7; the newest one" in message
    assert "000000000032" in message
    assert "add --format onnx" in refused(capsys, folder, "--output", tmp_path / "a.onnx")
    (tmp_path / "file").touch()
    assert "choose another place with --output" in refused(
        capsys, folder, "--output", tmp_path / "file" / "a"
    )
    with pytest.raises(SystemExit) as ended:
        export(folder, "--format", "pickle")
    assert ended.value.code == 2
    assert "'torchscript', 'onnx', 'both'" in capsys.readouterr().err


def test_a_missing_library_is_named_with_the_way_to_install_it(folder: RunFolder, tmp_path: Path) -> None:
    program = (
        f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from cluster.cli.main import main\nsys.stderr = sys.stdout\n"
        f"print(main(['export', {str(folder.path)!r}, '--format', 'onnx', '--output', 'walk.onnx']))"
    )
    said = run_without({"onnxruntime"}, program, tmp_path)
    assert "needs onnxruntime " in said
    assert "pip install -c constraints.txt -e '.[export]'" in said
    assert said.endswith("\n2\n")
    assert list(tmp_path.iterdir()) == []


class Forgetful(TorchScript):
    """Writes another policy than it is given."""

    def write(self, path: Path, policy: Deployment, *rest: Any) -> None:
        with torch.no_grad():
            kept = policy.policy[-1].bias.clone()
            policy.policy[-1].bias.add_(torch.randn(kept.shape))
            super().write(path, policy, *rest)
            policy.policy[-1].bias.copy_(kept)


def test_a_wrong_file_is_not_left_behind(folder: RunFolder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with pytest.raises(HandrailError, match="does not answer as the policy does"):
        export_policy(folder, [Forgetful()], output=tmp_path / "policy")
    assert list(tmp_path.iterdir()) == []
