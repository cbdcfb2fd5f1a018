"""Every network through RLlib: saved, loaded by RLlib alone, and acting on what RLlib would show it."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule

from policies.rllib_module import ActorCriticModule
from policies.spaces import flat_dtype

IMAGE = spaces.Box(0, 255, (8, 8, 3), np.uint8)
NETWORKS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "vector": (spaces.Box(-1, 1, (3,)), spaces.Discrete(4), {}),
    "shared": (spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2,)), {"shared": True}),
    "discrete": (spaces.Discrete(5, start=2), spaces.MultiDiscrete([3, 2]), {}),
    "image": (IMAGE, spaces.Discrete(4), {"filters": ((4, 3, 2),), "image_features": 8}),
    "dict": (
        spaces.Dict(
            image=IMAGE,
            inside=spaces.Tuple([spaces.MultiDiscrete([2, 3], start=[1, 0]), spaces.MultiBinary(2)]),
            vector=spaces.Box(-1, 1, (2,)),
        ),
        spaces.MultiDiscrete([3, 2]),
        {"shared": True, "encoders": {"vector": "flat"}},
    ),
}


def _shown(space: gym.Space[Any], count: int) -> tuple[Any, torch.Tensor]:
    """Observations as RLlib batches them, and flat."""
    space.seed(0)
    samples = [space.sample() for _ in range(count)]
    batched = gym.vector.utils.concatenate(space, samples, gym.vector.utils.create_empty_array(space, count))
    flat = np.stack([spaces.flatten(space, sample) for sample in samples])
    return _map(lambda part: torch.from_numpy(np.asarray(part)), batched), torch.from_numpy(
        flat.astype(flat_dtype(space))
    )


@pytest.mark.parametrize("kind", ["vector", "dict"])
def test_rllib_carries_what_a_recurrent_policy_remembers(kind: str, tmp_path: Path) -> None:
    """One step at a time as its runners do it, and a whole sequence as its learners do it."""
    observed, acted, _ = NETWORKS[kind]
    torch.manual_seed(0)
    module = ActorCriticModule(
        observation_space=observed, action_space=acted, model_config={"hidden": (8,), "recurrent": 5}
    )
    module.save_to_path(tmp_path / "module")
    loaded = RLModule.from_checkpoint(str(tmp_path / "module"))
    assert loaded.is_stateful()
    (name, initial), *_ = loaded.get_initial_state().items()
    steps, _ = _shown(observed, 6)
    sequence = _map(lambda part: part[None], steps)
    start = {name: initial[None]}
    together = loaded.forward_train({Columns.OBS: sequence, Columns.STATE_IN: start})
    values = loaded.compute_values({Columns.OBS: sequence, Columns.STATE_IN: start})
    state = start
    for t in range(6):
        now = _map(lambda part, t=t: part[None, t : t + 1], steps)
        value = loaded.compute_values({Columns.OBS: now, Columns.STATE_IN: state})
        step = loaded.forward_inference({Columns.OBS: now, Columns.STATE_IN: state})
        state = step[Columns.STATE_OUT]
        torch.testing.assert_close(
            step[Columns.ACTION_DIST_INPUTS][0, 0], together[Columns.ACTION_DIST_INPUTS][0, t]
        )
        torch.testing.assert_close(value[0, 0], values[0, t])
    torch.testing.assert_close(state[name], together[Columns.STATE_OUT][name])
    assert state[name].abs().min() > 0
    assert not ActorCriticModule(
        observation_space=observed, action_space=acted, model_config={"hidden": (8,)}
    ).is_stateful()


def _map(change: Any, tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _map(change, part) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_map(change, part) for part in tree)
    return change(tree)


@pytest.mark.parametrize(("observed", "acted", "model"), NETWORKS.values(), ids=NETWORKS)
def test_rllib_loads_it_and_acts_with_it(
    observed: Any, acted: Any, model: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = ActorCriticModule(
        observation_space=observed, action_space=acted, model_config={"hidden": (8,)} | model
    )
    module.save_to_path(tmp_path / "module")
    loaded = RLModule.from_checkpoint(str(tmp_path / "module"))
    batch, flat = _shown(observed, 6)
    output = loaded.forward_inference({Columns.OBS: batch})[Columns.ACTION_DIST_INPUTS]
    expected = module.network.policy(flat)
    assert (expected[0] != expected[1]).any()
    torch.testing.assert_close(output[:, : expected.shape[1]], expected)
    torch.testing.assert_close(loaded.compute_values({Columns.OBS: batch}), module.network.value(flat))
    distribution = loaded.get_inference_action_dist_cls().from_logits(output)
    action = distribution.sample()
    log_prob, entropy = module.network.evaluate(flat, action)
    torch.testing.assert_close(distribution.logp(action), log_prob)
    torch.testing.assert_close(distribution.entropy(), entropy)
