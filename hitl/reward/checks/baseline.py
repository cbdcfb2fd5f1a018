"""The plain baseline: what the reward model would be if all teachers were taken for alike."""

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch

from hitl.reward.fitting import Fit, Judgement, Part, judge
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.settings import FitSettings


class PlainBaseline:
    """An ensemble that is fitted beside the run's own, without weights of teachers; nobody acts by it."""

    def __init__(self, ensemble: RewardEnsemble, settings: FitSettings, *, seed: int) -> None:
        """Begin where the run's own stands."""
        self._ensemble = copy.deepcopy(ensemble)
        self._fit = Fit(self._ensemble, settings)
        self._generator = torch.Generator().manual_seed(seed)

    def fit(self, parts: Mapping[str, Part]) -> dict[str, Judgement]:
        """Fit to the same evidence; returns how well it explains what is held out, by kind."""
        plain = {name: replace(part, rationality_E=None) for name, part in parts.items()}
        training = [part for part in plain.values() if len(part.training)]
        self._fit(training, generator=self._generator)
        return {name: judge(self._ensemble, part, part.heldout) for name, part in plain.items()}
