"""The reward's sources as a learner has them, and the recent experience by which its critic follows their change."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch

from cluster.feedback.versions import Arrays, model_arrays
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.serving.source import LearnedReward
from policies.experience import Rollout
from policies.exploration.state_entropy import StateEntropy
from policies.recent_rollouts import RecentRollouts
from policies.rewards import RewardSource, environment_reward
from policies.spaces import flat_size


class RewardSources:
    """All of them by name, with what they have learnt or seen."""

    def __init__(
        self,
        config: Any,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        device: torch.device,
    ) -> None:
        """Make them as a `HITLConfig` says."""
        model, warm_up = config.reward_model, config.objective.critic_warm_up
        space = InputSpace.of(observation_space, action_space, model.inputs)
        self._ensemble = RewardEnsemble(space, members=model.members, hidden=model.hidden).to(device)
        self.learned = LearnedReward(self._ensemble)
        self.by_name: dict[str, RewardSource] = {
            "environment": environment_reward,
            "learned": self.learned,
        }
        self._entropy: StateEntropy | None = None
        if config.reward_sources.intrinsic:
            self._entropy = self.by_name["intrinsic"] = StateEntropy(
                flat_size(observation_space),
                neighbours=config.intrinsic.neighbours,
                states=config.intrinsic.states,
                seed=config.seed_for("state entropy"),
                device=device,
            )
        self._recent: RecentRollouts | None = None
        if warm_up.steps:
            self._recent = RecentRollouts(most=warm_up.batches, most_bytes=warm_up.megabytes * 2**20)
        self._silent: tuple[str, ...] | None = None
        self._has_changed = False

    def change(self, reward_model: Arrays | None, silent: tuple[str, ...]) -> None:
        """Take over a newer reward version, if there is one.

        Args:
            reward_model: its arrays.
            silent: sources that have nothing to say now.
        """
        if reward_model is not None:
            self._ensemble.load_arrays(model_arrays(reward_model))
        self._has_changed |= reward_model is not None or silent != self._silent
        self._silent = silent

    def take_stale(self) -> list[Rollout]:
        """Return recent experience that the critic knows by another reward, once for each change."""
        stale = list(self._recent) if self._recent is not None and self._has_changed else []
        self._has_changed = False
        return stale

    def keep(self, batch: Rollout) -> None:
        """Keep a batch that was learnt from, where the critic is warmed up."""
        if self._recent is not None:
            self._recent.take(batch)

    def begin_anew(self) -> None:
        """Forget recent experience, as one who goes on from a checkpoint has none."""
        if self._recent is not None:
            self._recent.clear()

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: all but recent experience, which is gathered anew."""
        return {
            "reward_model": dict(self._ensemble.to_arrays()),
            "intrinsic": self._entropy.get_state() if self._entropy else None,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        self._ensemble.load_arrays(state["reward_model"])
        if self._entropy is not None and state.get("intrinsic"):
            self._entropy.set_state(state["intrinsic"])
