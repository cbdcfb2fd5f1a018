"""Fitting the ensemble to answers, judging it on held-out ones, and the gate between two versions.

Axis suffixes: K member, S segment, L step of a segment, P pair.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hitl.reward.answers import Answer, AnswerArrays
from hitl.reward.ensemble import RewardEnsemble
from hitl.reward.likelihoods import comparison_log_likelihood

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
    """`AnswerArrays` on the model's device."""

    def __init__(self, arrays: AnswerArrays, device: torch.device) -> None:
        self.observation_SLO = torch.from_numpy(arrays.observation_SLO).to(device)
        self.action_SLA = torch.from_numpy(arrays.action_SLA).to(device)
        self.weight_SL = torch.from_numpy(arrays.weight_SL).to(device)
        self.first_P = torch.from_numpy(arrays.first_P).to(device)
        self.second_P = torch.from_numpy(arrays.second_P).to(device)
        self.choice_P = torch.from_numpy(arrays.choice_P).to(device)

    def log_likelihood(self, ensemble: RewardEnsemble, pairs: Tensor, *, lapse: float) -> Tensor:
        """Return each member's log-likelihood of the answers at the given indices, [K, P]."""
        first, second = self.first_P[pairs], self.second_P[pairs]
        return_KB = self._returns(ensemble, torch.cat([first, second]))
        return comparison_log_likelihood(
            margin_KP=return_KB[:, : len(first)] - return_KB[:, len(first) :],
            choice_P=self.choice_P[pairs],
            log_tie=ensemble.log_tie,
            lapse=lapse,
        )

    def margins(self, ensemble: RewardEnsemble, pairs: Tensor) -> Tensor:
        """Return each member's margin of first over second, [K, P]."""
        return self._returns(ensemble, self.first_P[pairs]) - self._returns(ensemble, self.second_P[pairs])

    def _returns(self, ensemble: RewardEnsemble, segments: Tensor) -> Tensor:
        raw_KBL = ensemble.raw(self.observation_SLO[segments], self.action_SLA[segments])
        return (raw_KBL * self.weight_SL[segments]).sum(-1)


def fit(
    ensemble: RewardEnsemble,
    answers: AnswerTensors,
    *,
    training: Tensor,
    bootstrap_KP: Tensor,
    settings: FitSettings,
    generator: torch.Generator,
) -> float:
    """Fit the ensemble, warm-started, by maximum likelihood; returns the last mean loss in nats per answer.

    Args:
        ensemble: changed in place.
        answers: all of them.
        training: int64 indices of those to train on.
        bootstrap_KP: how often each member counts each of all answers.
        settings: numbers of the fit.
        generator: draws the minibatches, on the CPU.
    """
    device = ensemble.input_mean.device
    optimiser = torch.optim.AdamW(
        ensemble.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    loss = torch.zeros(())
    for _ in range(settings.gradient_steps):
        order = torch.randperm(len(training), generator=generator)[: settings.batch_comparisons]
        pairs = training[order].to(device)
        log_likelihood_KB = answers.log_likelihood(ensemble, pairs, lapse=settings.lapse)
        weight_KB = bootstrap_KP[:, pairs.cpu()].to(device)
        loss = -(log_likelihood_KB * weight_KB).sum() / weight_KB.sum().clamp_min(1.0)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def judge(ensemble: RewardEnsemble, answers: AnswerTensors, pairs: Tensor, *, lapse: float) -> Judgement:
    """Judge the ensemble's mean prediction on the answers at the given indices."""
    if not len(pairs):
        return Judgement(log_loss_P=torch.zeros(0), accuracy=None)
    pairs = pairs.to(ensemble.input_mean.device)
    log_likelihood_KP = answers.log_likelihood(ensemble, pairs, lapse=lapse)
    log_loss_P = math.log(len(log_likelihood_KP)) - torch.logsumexp(log_likelihood_KP, 0)
    choice_P = answers.choice_P[pairs]
    decided_P = choice_P != _TIE
    if not decided_P.any():
        return Judgement(log_loss_P=log_loss_P.cpu(), accuracy=None)
    margin_P = answers.margins(ensemble, pairs).mean(0)
    right_P = (margin_P > 0) == (choice_P == 0)
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
