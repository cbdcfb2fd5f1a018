"""The kinds of feedback that a run's reward model learns from, as its run file reads them."""

from typing import Any

import gymnasium as gym

from cluster.runs.reward.corrections import CorrectionsConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.signals import DelayConfig, SignalsConfig
from hitl.credit import DEEP_TAMER, TAMER, GammaDelay, UniformDelay
from hitl.reward.evidence.comparisons import Comparisons
from hitl.reward.evidence.corrections import Corrections
from hitl.reward.evidence.crediting import Crediting
from hitl.reward.evidence.delays import FittedDelays
from hitl.reward.evidence.evidence import Evidence
from hitl.reward.evidence.signals import Signals
from hitl.reward.inputs import InputSpace

_NAMED = {"tamer": TAMER, "deep_tamer": DEEP_TAMER}


def evidence_of(
    model: RewardModelConfig,
    signals: SignalsConfig,
    corrections: CorrectionsConfig,
    space: InputSpace,
    action_space: gym.Space[Any],
    *,
    seed: int,
) -> list[Evidence]:
    """Return all kinds that count, without any feedback yet.

    A model that does not tell actions apart learns nothing from what people do instead, and one that remembers nothing
    from signals: these are about single steps.

    Args:
        model: settings.
        signals: settings; their baseline is decided.
        corrections: settings.
        space: what the model looks at.
        action_space: of one environment.
        seed: of what is drawn for them.
    """
    kinds: list[Evidence] = [
        Comparisons(
            lapse=model.lapse,
            batch=model.batch_comparisons,
            heldout_share=model.heldout_share,
            seed=seed,
        )
    ]
    if signals.reading == "reward" and not space.memory_units:
        kinds.append(
            Signals(
                crediting_of(signals, space, seed=seed),
                most_steps=signals.most_steps,
                batch=signals.batch,
                heldout_share=model.heldout_share,
                members=model.members,
                seed=seed,
                action_space=action_space if signals.baseline == "alternatives" else None,
                alternatives=signals.alternatives,
            )
        )
    if corrections.enabled and space.tells_actions_apart:
        kinds.append(
            Corrections(
                action_space,
                alternatives=corrections.alternatives,
                batch=corrections.batch,
                heldout_share=model.heldout_share,
                members=model.members,
                seed=seed,
            )
        )
    return kinds


def crediting_of(signals: SignalsConfig, space: InputSpace, *, seed: int) -> Crediting:
    """Return how the run's signals find their steps; `seed` is of delays that are fitted."""
    delay, prior_signals = delay_of(signals.delay), signals.delay.prior_signals
    return Crediting(
        delay,
        across_episodes=signals.across_episodes,
        smallest_share=signals.smallest_share,
        fitted=FittedDelays(delay, space, shortest=delay.shortest, prior_signals=prior_signals, seed=seed)
        if signals.delay.fitted
        else None,
        reads=space.reads,
    )


def delay_of(delay: DelayConfig) -> GammaDelay | UniformDelay:
    """Return the density of a teacher's delays, or the one that it begins with."""
    if delay.density in _NAMED:
        return _NAMED[delay.density]
    if delay.density == "uniform":
        return UniformDelay(delay.shortest_seconds, delay.longest_seconds)
    return GammaDelay(shape=delay.shape, scale=delay.scale_seconds, shortest=delay.shortest_seconds)
