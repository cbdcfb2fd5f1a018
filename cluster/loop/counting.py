"""What each part of an update counts for, at so many environment steps."""

from typing import Any

from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.heeding import Heeding
from cluster.loop.imitating import Imitating
from cluster.loop.teaching import Teaching
from cluster.runs.section import annealed


def what_counts(
    config: HITLConfig,
    teaching: Teaching | None,
    imitating: Imitating | None,
    heeding: Heeding | None,
    *,
    env_steps: int,
) -> dict[str, Any]:
    """Return the numbers of `HITLLearner.learn`: how far the run is, weights, and which reward sources are silent."""
    horizon, augmentation = config.anneal_over_env_steps, config.augmentation
    silent = config.reward_sources.silent(
        config.intrinsic, reward_version=teaching.version if teaching else None, env_steps=env_steps
    )
    opinion = annealed(augmentation.weight, augmentation.until_env_steps, env_steps)
    return {
        "progress": min(env_steps / horizon, 1.0) if horizon else 0.0,
        "imitation_weight": imitating.weight(env_steps) if imitating else 0.0,
        "signal_weight": heeding.weight(env_steps) if heeding else 0.0,
        "augmentation_weight": 0.0 if "learned" in silent else opinion,
        "silent": silent,
    }
