"""A run's reward model, as its run file describes it; without any feedback yet."""

from typing import Any

import gymnasium as gym

from cluster.feedback.evidence import evidence_of
from cluster.runs.reward.corrections import CorrectionsConfig
from cluster.runs.reward.guards import GuardsConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.signals import SignalsConfig
from hitl.reward.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel


def reward_model_of(
    model: RewardModelConfig,
    signals: SignalsConfig,
    corrections: CorrectionsConfig,
    guards: GuardsConfig,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    *,
    seed: int,
) -> OnlineRewardModel:
    """Make it; the signals' baseline is decided, and `seed` is of everything that is drawn.

    Raises:
        ConfigError: there are no such features for it to read.
        TypeError: what it reads does not fit the spaces; see `InputSpace.of`.
    """
    space = InputSpace.of(observation_space, action_space, model.inputs)
    return OnlineRewardModel(
        space,
        members=model.members,
        hidden=model.hidden,
        settings=model.fit,
        evidence=evidence_of(model, signals, corrections, space, action_space, seed=seed),
        heldout_share=model.heldout_share,
        seed=seed,
        conservatism=model.members_as_one,
        earlier_versions=guards.earlier_versions,
    )
