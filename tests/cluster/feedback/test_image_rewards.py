"""A run whose observations are pictures, taught by comparisons: its reward model sees through convolutions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cluster.feedback.versions import model_arrays, probe_of
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning.saved_policy import saved_reward_model
from cluster.loop.settings.policy_check import check_policy
from cluster.runs.config import RunConfig
from hitl.errors import ConfigError
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from tests.cluster.line_people import PEOPLE, Answering, link
from tests.cluster.small_worlds import Dot, Line
from tests.hitl.live import LiveService

LOOKS: dict[str, Any] = {"filters": [[8, 3, 2], [8, 3, 2]], "image_features": 16}
SETTINGS: dict[str, Any] = PEOPLE | {
    "environment": {"id": "tests.cluster.small_worlds:Dot", "allow_variable_horizon": True},
    "policy": {"hidden": (16,), **LOOKS},
    "reward": PEOPLE["reward"] | {"model": PEOPLE["reward"]["model"] | LOOKS | {"members": 2}},
}


def _config(service: LiveService, run_id: str, **changes: Any) -> HITLConfig:
    return HITLConfig.from_run(RunConfig.model_validate(SETTINGS | changes), link(service, run_id))


def _rewards(algorithm: HITL, folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """The saved reward model, and what it says of every place by either action, [columns, 2]."""
    algorithm.save_to_path(folder)
    arrays = saved_reward_model(folder)
    model = RunConfig.model_validate(SETTINGS).reward.model
    space = InputSpace.of(Dot.observation_space, Dot.action_space, model.inputs)
    ensemble, env = RewardEnsemble.of_arrays(space, model_arrays(arrays)), Dot()
    env.reset(seed=0)
    seen = []
    for env._column in range(11):
        seen.append(env._observation().ravel())
    with torch.no_grad():
        return arrays, ensemble.of_actions(torch.from_numpy(np.stack(seen)), torch.arange(2)).numpy()


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("kind", ["policy", "reward", "action_biasing"])
def test_a_run_on_pictures_learns_what_people_like(kind: str, service: LiveService, tmp_path: Path) -> None:
    run_id = f"pictures {kind}"
    config = _config(service, run_id, acting={"kind": kind})
    with Answering(service, run_id) as teacher:
        algorithm = HITL(config)
        while algorithm.updates < 6:
            algorithm.train()
        arrays, reward = _rewards(algorithm, tmp_path / "checkpoint")
        resumed = HITL(config)
        resumed.restore_from_path(tmp_path / "checkpoint")
        for life in (algorithm, resumed):
            life.train()
        learnt = [
            life.learner_group.get_state()["learner"]["handrail"]["reward_model"]
            for life in (algorithm, resumed)
        ]
        np.testing.assert_equal(*learnt)
        algorithm.stop()
        resumed.stop()
    assert len(teacher.answers) >= 12
    assert any(name.startswith("convolutions.members.1.") for name in arrays)
    probe, _ = probe_of(arrays)
    assert probe.dtype == np.uint8
    if kind == "policy":
        # Who acts by the reward has not been everywhere.
        columns = np.arange(11)
        assert np.corrcoef(reward.mean(1), columns)[0, 1] > 0.7


def test_settings_that_do_not_fit_the_observation_are_refused_before_the_run() -> None:
    def check(env: Any, **model: Any) -> None:
        config = RunConfig.model_validate(PEOPLE | {"reward": PEOPLE["reward"] | {"model": model}})
        check_policy((env.observation_space, env.action_space), config)

    check(Dot)
    check(Dot, encoder="cnn", filters=[[4, 12, 1]])
    check(Dot, encoder="flat", filters=[[4, 13, 1]])
    with pytest.raises(ConfigError, match=r"reward.model.filters: convolution 1 has a kernel of 13"):
        check(Dot, filters=[[4, 13, 1]])
    with pytest.raises(ConfigError, match=r"reward.model.encoder: cnn needs"):
        check(Line, encoder="cnn")
