"""Behaviour cloning: a policy fitted to labels by minibatches, judged on labels that are held out.

Sources: Pomerleau 1989, "ALVINN: an autonomous land vehicle in a neural network"; why to stop early: Prechelt 1998,
"Early stopping - but when?"; here after so many epochs in a row without a better held-out loss.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies.chunks import ROWS
from policies.descent.adam import forget
from policies.descent.gradient_step import GradientStep, flatten_parameters
from policies.descent.student import hand_back, take_over
from policies.imitation.imitation_loss import ImitationLoss
from policies.imitation.labels import Labels
from policies.imitation.settings import CloningSettings
from policies.networks import ActorCritic

_Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloningReport:
    """What came of a fit; losses are weighted means, in nats or, by squared error, in an action's units squared."""

    labels_version: int
    epochs: int
    """That were made."""
    best_epoch: int
    """Whose weights the policy has now; 0: those from before."""
    train_loss: float
    """Of these weights."""
    heldout_loss: float | None
    """Of these weights; here and below None where no label is held out."""
    heldout_agreement: float | None = None
    """Share of held-out actions that are the policy's most probable one; None for Box."""
    heldout_squared_error: float | None = None
    """Of the policy's mean, over held-out actions and their axes; only for Box."""


class Cloning:
    """Fits a network's policy to labels, from the weights that it has, time after time.

    It learns on a copy and writes the result into the network's parameters where they lie, so that an `Update` of the
    same network goes on with it. The critic's parameters do not move, except for layers that it shares with the policy;
    nor do statistics by which observations are normalised: give `network.observe` the first labels where nothing was
    observed yet.
    """

    def __init__(self, network: ActorCritic, settings: CloningSettings) -> None:
        """Prepare.

        Args:
            network: whose policy is fitted.
            settings: numbers of the fit.

        Raises:
            ValueError: the network is recurrent, or its actions have no squared error.
        """
        self._network, self._settings = network, settings
        self._student = ImitationLoss(copy.deepcopy(network), settings.loss).requires_grad_(True)
        self._flat = flatten_parameters(self._student)
        self._optimiser = torch.optim.Adam([self._flat], lr=settings.learning_rate)
        self._step = GradientStep(
            self._student, self._flat, optimiser=self._optimiser, max_gradient_norm=settings.max_gradient_norm
        )

    def fit(self, labels: Labels, generator: torch.Generator) -> CloningReport:
        """Fit the policy, in place, and keep the weights with the best held-out loss, or the last without such labels.

        Args:
            labels: one version.
            generator: of the order of the labels, on the CPU. The result is a function of weights, labels and its
                state.

        Raises:
            ValueError: no label trains.
        """
        (training,) = np.nonzero(labels.training_B)
        (heldout,) = np.nonzero((labels.weight_B > 0) & labels.heldout_B)
        if not len(training):
            raise ValueError(
                f"none of {len(labels)} labels trains the policy; wait for more, or lower heldout_share"
            )
        take_over(self._student, self._network)
        forget(self._optimiser)
        epoch, best_epoch, best, kept = 0, 0, self._loss(labels, heldout), self._flat.detach().clone()
        while epoch < self._settings.epochs and epoch - best_epoch < self._settings.patience:
            epoch += 1
            for minibatch in self._minibatches(labels, training, generator):
                self._step(*minibatch)
            loss = self._loss(labels, heldout)
            if loss is None or best is None or loss < best:
                best_epoch, best = epoch, loss
                kept.copy_(self._flat.data)
        self._flat.data.copy_(kept)
        hand_back(self._student, self._network)
        return CloningReport(
            labels_version=labels.version,
            epochs=epoch,
            best_epoch=best_epoch,
            train_loss=self._mean(self._student.error, labels, training),
            heldout_loss=best,
            **self._judgement(labels, heldout),
        )

    def _minibatches(
        self, labels: Labels, rows: _Rows, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield minibatches of one size, the last one filled up with labels of weight 0: one shape is traced once."""
        size = self._settings.minibatch_size
        order = rows[torch.randperm(len(rows), generator=generator).numpy()]
        for begin in range(0, len(order), size):
            chosen = order[begin : begin + size]
            filled = np.resize(chosen, size)
            observation_BO, action_BA, weight_B = self._at(labels, filled)
            weight_B[len(chosen) :] = 0
            yield observation_BO, action_BA, weight_B

    def _at(self, labels: Labels, rows: _Rows) -> tuple[Tensor, Tensor, Tensor]:
        device = self._flat.device
        parts = (labels.observation_BO[rows], labels.action_BA[rows], labels.weight_B[rows])
        observation_BO, action_BA, weight_B = (torch.from_numpy(part).to(device) for part in parts)
        return observation_BO, action_BA, weight_B

    def _loss(self, labels: Labels, rows: _Rows) -> float | None:
        return self._mean(self._student.error, labels, rows) if len(rows) else None

    @torch.no_grad()
    def _mean(self, function: Callable[[Tensor, Tensor], Tensor], labels: Labels, rows: _Rows) -> float:
        """Return the weighted mean over labels of a function of observations and actions."""
        values, weights = [], []
        for part in np.split(rows, range(ROWS, len(rows), ROWS)):
            observation_BO, action_BA, weight_B = self._at(labels, part)
            values.append(function(observation_BO, action_BA))
            weights.append(weight_B)
        weight_B = torch.cat(weights)
        return float((torch.cat(values) * weight_B).sum() / weight_B.sum())

    def _judgement(self, labels: Labels, rows: _Rows) -> dict[str, float]:
        if not len(rows):
            return {}
        is_box = self._network.distribution.learns_scale

        def judged(observation_BO: Tensor, action_BA: Tensor) -> Tensor:
            mode_BA = self._student.mode(observation_BO)
            if is_box:
                return ((mode_BA - action_BA) ** 2).mean(-1)
            return (mode_BA == action_BA).view(len(action_BA), -1).all(-1).to(self._flat.dtype)

        name = "heldout_squared_error" if is_box else "heldout_agreement"
        return {name: self._mean(judged, labels, rows)}
