"""Fitting the ensemble to answers, judging it on held-out ones, and the gate between two versions.

Axis suffixes: K member, S segment, L step of a segment, P pair.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hitl.reward.answers import Answer, AnswerArrays
from hitl.reward.ensemble import RewardEnsemble
from hitl.reward.likelihoods import comparison_log_likelihood
from policies.descent.adam import forget
from policies.descent.gradient_step import GradientStep, flatten_parameters

_TIE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Numbers of a fit; see `cluster.runs.config.RewardModelConfig`."""

    learning_rate: float
    weight_decay: float
    gradient_steps: int
    batch_comparisons: int
    lapse: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How well a model explains answers that it was not fitted to."""

    log_loss_P: Tensor
    """Of the ensemble's mean probability, nats per answer. 1.0986 is a blind guess."""
    accuracy: float | None
    """Share of decided answers (no ties) whose sign is right; None where there are none."""

    @property
    def log_loss(self) -> float | None:
        """Mean over the answers; None where there are none."""
        return float(self.log_loss_P.mean()) if len(self.log_loss_P) else None


def bootstrap_weights(answers: Sequence[Answer], *, members: int, seed: int) -> Tensor:
    """Return how often each member counts each answer, [K, P]: the Poisson bootstrap.

    Each weight is a function of the answer's segments alone, so a rebuilt model draws the same ones.
    Source: Oza and Russell 2001, "Online bagging and boosting", section 3.
    """
    weights = np.empty((members, len(answers)), np.float32)
    for column, answer in enumerate(answers):
        name = f"{seed}/{answer.first.segment_id}/{answer.second.segment_id}".encode()
        digest = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
        weights[:, column] = np.random.default_rng(digest).poisson(1.0, members)
    return torch.from_numpy(weights)


class AnswerTensors:
    """`AnswerArrays` on the model's device, as the model reads them."""

    def __init__(self, arrays: AnswerArrays, ensemble: RewardEnsemble) -> None:
        device = ensemble.input_mean.device
        self.input_SLF = ensemble.inputs(
            torch.from_numpy(arrays.observation_SLO).to(device),
            torch.from_numpy(arrays.action_SLA).to(device),
        )
        self.weight_SL = torch.from_numpy(arrays.weight_SL).to(device)
        self.first_P = torch.from_numpy(arrays.first_P).to(device)
        self.second_P = torch.from_numpy(arrays.second_P).to(device)
        self.choice_P = torch.from_numpy(arrays.choice_P).to(device)

    def of(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs and weights of the segments of P pairs, first ones first, and the choices."""
        segments = torch.cat([self.first_P[pairs], self.second_P[pairs]])
        return self.input_SLF[segments], self.weight_SL[segments], self.choice_P[pairs]


def margins(ensemble: RewardEnsemble, input_SLF: Tensor, weight_SL: Tensor) -> Tensor:
    """Return each member's margin of the first half of the segments over the second, [K, P]."""
    first_KP, second_KP = (ensemble(input_SLF) * weight_SL).sum(-1).chunk(2, 1)
    margin_KP: Tensor = first_KP - second_KP
    return margin_KP


class AnswerLoss(nn.Module):
    """Minus the mean log-likelihood of answers, each member's weighted by its bootstrap."""

    def __init__(self, ensemble: RewardEnsemble, *, lapse: float) -> None:
        super().__init__()
        self.ensemble, self._lapse = ensemble, lapse

    def forward(
        self, input_SLF: Tensor, weight_SL: Tensor, choice_P: Tensor, bootstrap_KP: Tensor
    ) -> tuple[Tensor]:
        """Return the loss in nats per answer; the arguments are those of `AnswerTensors.of` and the bootstrap."""
        log_likelihood_KP = comparison_log_likelihood(
            margin_KP=margins(self.ensemble, input_SLF, weight_SL),
            choice_P=choice_P,
            log_tie=self.ensemble.log_tie,
            lapse=self._lapse,
        )
        return (-(log_likelihood_KP * bootstrap_KP).sum() / bootstrap_KP.sum().clamp_min(1.0),)


class Fit:
    """Fits an ensemble to answers by maximum likelihood, warm-started, time after time."""

    def __init__(self, ensemble: RewardEnsemble, settings: FitSettings) -> None:
        """Prepare; the ensemble's parameters become views of one tensor."""
        self._ensemble, self._settings = ensemble, settings
        flat = flatten_parameters(ensemble)
        self._optimiser = torch.optim.AdamW(
            [flat], lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        loss = AnswerLoss(ensemble, lapse=settings.lapse)
        self._step = GradientStep(loss, flat, optimiser=self._optimiser, max_gradient_norm=math.inf)

    def __call__(
        self, answers: AnswerTensors, *, training: Tensor, bootstrap_KP: Tensor, generator: torch.Generator
    ) -> float:
        """Fit; returns the last mean loss in nats per answer.

        Args:
            answers: all of them.
            training: int64 indices of those to train on.
            bootstrap_KP: how often each member counts each of all answers.
            generator: draws the minibatches, on the CPU.
        """
        device = self._ensemble.input_mean.device
        bootstrap_KP = bootstrap_KP.to(device)
        forget(self._optimiser)
        loss = torch.zeros(())
        for _ in range(self._settings.gradient_steps):
            pairs = training[_draw(len(training), self._settings.batch_comparisons, generator)].to(device)
            loss, _ = self._step(*answers.of(pairs), bootstrap_KP[:, pairs])
        return float(loss)


def _draw(answers: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw so many answers in random order, each as often as any other: a batch has always the same shape."""
    orders = [torch.randperm(answers, generator=generator) for _ in range(math.ceil(count / answers))]
    return torch.cat(orders)[:count]


@torch.no_grad()
def judge(ensemble: RewardEnsemble, answers: AnswerTensors, pairs: Tensor, *, lapse: float) -> Judgement:
    """Judge the ensemble's mean prediction on the answers at the given indices."""
    if not len(pairs):
        return Judgement(log_loss_P=torch.zeros(0), accuracy=None)
    pairs = pairs.to(ensemble.input_mean.device)
    input_SLF, weight_SL, choice_P = answers.of(pairs)
    margin_KP = margins(ensemble, input_SLF, weight_SL)
    log_likelihood_KP = comparison_log_likelihood(
        margin_KP=margin_KP, choice_P=choice_P, log_tie=ensemble.log_tie, lapse=lapse
    )
    log_loss_P = math.log(len(log_likelihood_KP)) - torch.logsumexp(log_likelihood_KP, 0)
    decided_P = choice_P != _TIE
    if not decided_P.any():
        return Judgement(log_loss_P=log_loss_P.cpu(), accuracy=None)
    right_P = (margin_KP.mean(0) > 0) == (choice_P == 0)
    return Judgement(log_loss_P=log_loss_P.cpu(), accuracy=float(right_P[decided_P].float().mean()))


def is_worse(candidate: Judgement, current: Judgement) -> bool:
    """Whether the candidate is worse beyond two standard errors of the paired difference in log-loss.

    Both must have judged the same answers, in the same order. With fewer than two nothing is refused.
    """
    difference_P = (candidate.log_loss_P - current.log_loss_P).double()
    if len(difference_P) < 2:
        return False
    standard_error = float(difference_P.std()) / math.sqrt(len(difference_P))
    return float(difference_P.mean()) > 2 * standard_error
