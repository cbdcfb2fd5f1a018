"""Who acts: the seam that env runners, stages, and programs that drive stages of their own share.

A policy, the reward model that people teach (TAMER), or a mixture of both, each with its newest version.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hitl.policies import ActingSettings
from hitl.reward.network.inputs import InputSpace
from hitl.reward.serving.inference import ActingReward, acting_reward
from hitl.reward.settings import InputSettings
from policies.acting.inference import Acts, Weights, acting_policy
from policies.acting.on_reward import (
    ActingOnReward,
    ActionBiasing,
    CandidateActions,
    ControlSharing,
)


class Acting:
    """What acts, and the versions that it acts by."""

    def __init__(
        self, acts: Acts, reward: ActingReward | None, alternatives: CandidateActions | None = None
    ) -> None:
        self.acts = acts
        """Asked for actions; it is the same one over all versions."""
        self._alternatives = alternatives
        """What a predicted reward is measured from, where the reward model alone acts."""
        self.policy_version = self.reward_version = 0
        self._reward = reward

    def show_policy(self, version: int, weights: Weights) -> None:
        """Act by these weights."""
        self.acts.load(weights)
        self.policy_version = version

    def show_reward(self, version: int, arrays: Weights) -> None:
        """Act by this version of the reward model, as far as it acts; see `RewardEnsemble.to_arrays`."""
        if self._reward is not None:
            self._reward.load(arrays)
        self.reward_version = version

    def set_reward_weight(self, weight: float) -> None:
        """Let the reward model count so much in a mixture."""
        if isinstance(self.acts, ActionBiasing | ControlSharing):
            self.acts.weight = weight

    def predicted_reward(self, observation_O: NDArray[Any], action: NDArray[Any]) -> float | None:
        """Return what people are expected to say of a step; None before the first version.

        Where nothing but the reward model acts, it is how much better the action is than the others, on average.
        """
        if self._reward is None or not self.reward_version:
            return None
        value = float(self._reward.reward(observation_O[None], np.asarray(action)[None])[0])
        if self._alternatives is not None:
            value -= float(self._reward.of_actions(observation_O[None], self._alternatives.draw()).mean())
        return value


def make_acting(
    settings: ActingSettings,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    *,
    seed: int,
    model_config: Mapping[str, Any],
    predicts: bool = False,
    inputs: InputSettings | None = None,
) -> Acting:
    """Make what the run's setting asks for; it has neither weights nor reward model yet.

    Args:
        settings: who acts.
        observation_space: of one environment.
        action_space: of one environment.
        seed: of the draws.
        model_config: keyword arguments of `ActorCritic`.
        predicts: whether the predicted reward is wanted though the reward model does not act.
        inputs: what the reward model reads; see `InputSpace.of`.

    Raises:
        ConfigError: there are no such features for the reward model to read.
        TypeError: the setting does not fit the actions, or the reward model's inputs do not fit the spaces, or who
            acts by it asks what each action is worth, and it does not know.
        ValueError: the network's settings do not fit the observations.
    """
    kind = settings.kind
    if kind != "policy" and inputs is not None and not inputs.tells_actions_apart:
        raise TypeError(
            f"acting.kind: {kind} asks what each action is worth in a state; set reward.model.reads to "
            "state_action and reward.model.memory to none"
        )
    reward = acting_reward(InputSpace.of(observation_space, action_space, inputs))
    if kind == "reward":
        candidates = CandidateActions(
            action_space, count=settings.candidates, rng=np.random.default_rng(seed)
        )
        acts = ActingOnReward(reward, candidates, temperature=settings.temperature, seed=seed)
        return Acting(acts, reward, candidates)
    policy: Any = acting_policy(observation_space, action_space, seed=seed, **model_config)
    if kind == "policy":
        return Acting(policy, reward if predicts else None)
    mixture = ActionBiasing if kind == "action_biasing" else ControlSharing
    return Acting(mixture(policy, reward, action_space, seed=seed), reward)
