"""Fitting the ensemble to what people say, judging it on what was held out, and the gate between two versions.

Axis suffixes: K member, E piece of evidence, B those of a minibatch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit
from torch import Tensor, nn

from hitl.reward.evidence.evidence import Examples, Likelihood
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.settings import FitSettings
from policies.descent.adam import forget
from policies.descent.gradient_step import GradientStep, flatten_parameters

PLATEAU_STEPS = 20
"""Gradient steps whose mean loss is compared with that of as many before."""
_CERTAINTY = float(ndtr(2.0))
"""With which a version that is refused is worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One kind of evidence, as a fit takes part of it."""

    likelihood: Likelihood
    examples: Examples
    batch: int
    """Pieces of a minibatch."""
    weight: float = 1.0
    """Of the kind, beside the others."""
    rationality_E: Tensor | None = None
    """Of each piece's teacher, relative to all; None: all are alike."""

    def rationality_of(self, rows_B: Tensor) -> Tensor:
        """Return that of the teachers of these pieces, [B]."""
        if self.rationality_E is None:
            return torch.ones(len(rows_B), device=rows_B.device)
        return self.rationality_E[rows_B]

    @property
    def training(self) -> Tensor:
        """Places of the pieces that train, int64."""
        return torch.from_numpy(np.flatnonzero(~self.examples.heldout_E))

    @property
    def heldout(self) -> Tensor:
        """Places of the pieces that judge, int64."""
        return torch.from_numpy(np.flatnonzero(self.examples.heldout_E))

    def by_arrival(self, rows: Tensor) -> Tensor:
        """Return the same places, the pieces that came last at the end."""
        return rows[np.argsort(self.examples.arrival_E[rows.numpy()], kind="stable")]

    def since(self, arrival: int) -> Tensor:
        """Return the places of the pieces whose number of arrival is at least this, int64."""
        return torch.from_numpy(np.flatnonzero(self.examples.arrival_E >= arrival))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How well a model explains what it was not fitted to."""

    log_loss_E: Tensor
    """Of the ensemble's mean probability, nats each. For comparisons 1.0986 is a blind guess."""
    right_E: NDArray[np.bool_]
    """The ensemble's mean prediction decides as people did."""
    decided_E: NDArray[np.bool_]
    """People decided at all."""
    block_E: NDArray[np.int64]
    """See `Examples`; of these pieces."""

    @property
    def log_loss(self) -> float | None:
        """Mean; None where there are none."""
        return float(self.log_loss_E.mean()) if len(self.log_loss_E) else None

    @property
    def accuracy(self) -> float | None:
        """Share of the decided ones whose sign is right; None where there are none."""
        return float(self.right_E[self.decided_E].mean()) if self.decided_E.any() else None


class EvidenceLoss(nn.Module):
    """Minus the mean log-likelihood of all evidence, each member's weighted by its bootstrap.

    Kinds are added up as they would be without minibatches: each counts by its number of pieces.
    """

    def __init__(self, ensemble: RewardEnsemble, likelihoods: Sequence[Likelihood]) -> None:
        super().__init__()
        self.ensemble, self._likelihoods = ensemble, tuple(likelihoods)
        self._lengths: list[int] = []

    def inputs(self, told: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        """Put the minibatches of all kinds in one row.

        Of each what `Examples.of` returns, the teachers' rationalities [B], and the bootstrap [K, B].
        """
        self._lengths = [len(batch) for batch in told]
        return [tensor for batch in told for tensor in batch]

    def forward(self, share_I: Tensor, *inputs: Tensor) -> tuple[Tensor]:
        """Return the loss in nats; `share_I` is each kind's weight times its share of all pieces."""
        loss, rest = torch.zeros((), device=share_I.device), inputs
        for index, (likelihood, length) in enumerate(zip(self._likelihoods, self._lengths, strict=True)):
            (*told, said_B, rationality_B, bootstrap_KB), rest = rest[:length], rest[length:]
            log_likelihood_KB = likelihood.log_likelihood(
                self.ensemble, likelihood.predict(self.ensemble, *told), said_B, rationality_B
            )
            mean = (log_likelihood_KB * bootstrap_KB).sum() / bootstrap_KB.sum().clamp_min(1.0)
            loss = loss - share_I[index] * mean
        return (loss,)


class Plateau:
    """Notices where a loss goes down no more; one number is fetched from the device in `PLATEAU_STEPS`."""

    def __init__(self, least: float | None) -> None:
        """Begin; `least` is the decrease in nats below which it has been reached, None: it never is."""
        self._least = least
        self._sum, self._steps, self._before = torch.zeros(()), 0, math.inf

    def reached(self, loss: Tensor) -> bool:
        """Take the loss of a step; whether those since the last look are hardly lower than those before it."""
        if self._least is None:
            return False
        self._sum, self._steps = self._sum.to(loss.device) + loss, self._steps + 1
        if self._steps < PLATEAU_STEPS:
            return False
        mean, before = float(self._sum) / PLATEAU_STEPS, self._before
        self._sum, self._steps, self._before = torch.zeros_like(self._sum), 0, mean
        return before - mean < self._least


class Fit:
    """Fits an ensemble to evidence by maximum likelihood, warm-started, time after time."""

    def __init__(self, ensemble: RewardEnsemble, settings: FitSettings) -> None:
        """Prepare; the ensemble's parameters become views of one tensor."""
        self._ensemble, self._settings = ensemble, settings
        self._flat = flatten_parameters(ensemble)
        self._optimiser = torch.optim.AdamW(
            [self._flat], lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self._steps: dict[tuple[Likelihood, ...], tuple[EvidenceLoss, GradientStep]] = {}

    def __call__(
        self,
        parts: Sequence[Part],
        *,
        generator: torch.Generator,
        gradient_steps: int | None = None,
        newest: int = 0,
        anew: bool = True,
    ) -> float:
        """Fit; returns the last mean loss in nats.

        It ends early where the settings say so and the loss of minibatches goes down no more. What is held out has no
        say in it: if it chose the model it would not judge it (Prechelt 1998, "Early Stopping - But When?", for what
        else there is).

        Args:
            parts: the kinds that there is something of to train on.
            generator: draws the minibatches, on the CPU.
            gradient_steps: those of the settings if it is None.
            newest: so many of the last pieces of each kind are in every minibatch, as far as half of it holds them.
            anew: whether the optimiser forgets the fits before.
        """
        device = self._ensemble.input_mean.device
        whole, step = self._step_on(tuple(part.likelihood for part in parts))
        if anew:
            forget(self._optimiser)
        training = [part.by_arrival(part.training) if newest else part.training for part in parts]
        counts_I = torch.tensor([len(rows) for rows in training], dtype=torch.float32, device=device)
        weight_I = torch.tensor([part.weight for part in parts], device=device)
        share_I = weight_I * counts_I / counts_I.sum()
        loss, plateau = torch.zeros(()), Plateau(self._settings.early_stop)
        for _ in range(gradient_steps or self._settings.gradient_steps):
            told = []
            for part, rows in zip(parts, training, strict=True):
                chosen = draw(rows, part.batch, generator, newest=newest).to(device)
                bootstrap_KB = part.examples.bootstrap_KE[:, chosen]
                told.append((*part.examples.of(chosen), part.rationality_of(chosen), bootstrap_KB))
            loss, _ = step(share_I, *whole.inputs(told))
            if plateau.reached(loss):
                break
        return float(loss)

    def _step_on(self, likelihoods: tuple[Likelihood, ...]) -> tuple[EvidenceLoss, GradientStep]:
        if likelihoods not in self._steps:
            whole = EvidenceLoss(self._ensemble, likelihoods)
            self._steps[likelihoods] = (
                whole,
                GradientStep(
                    whole,
                    self._flat,
                    optimiser=self._optimiser,
                    max_gradient_norm=math.inf,
                    # A memory over many steps has so many kernels that tracing takes too long.
                    traced=self._ensemble.memories is None,
                ),
            )
        return self._steps[likelihoods]


def draw(rows: Tensor, count: int, generator: torch.Generator, *, newest: int = 0) -> Tensor:
    """Draw so many rows in random order, each as often as any other: a batch has always the same shape.

    The `newest` last ones, as far as half a batch holds them, are in it for certain.
    """
    certain = rows[max(len(rows) - min(newest, count // 2), 0) :] if newest else rows[:0]
    rest = count - len(certain)
    orders = [torch.randperm(len(rows), generator=generator) for _ in range(math.ceil(rest / len(rows)))]
    return torch.cat([certain, rows[torch.cat(orders)[:rest]]])


@torch.no_grad()
def judge(ensemble: RewardEnsemble, part: Part, rows: Tensor) -> Judgement:
    """Judge the ensemble's mean prediction on the pieces at the given places."""
    if not len(rows):
        none = np.zeros(0, bool)
        return Judgement(
            log_loss_E=torch.zeros(0), right_E=none, decided_E=none, block_E=np.zeros(0, np.int64)
        )
    prediction_KE, said_E = predicted(ensemble, part, rows)
    rationality_E = part.rationality_of(rows.to(ensemble.input_mean.device))
    log_likelihood_KE = part.likelihood.log_likelihood(ensemble, prediction_KE, said_E, rationality_E)
    log_loss_E = math.log(len(log_likelihood_KE)) - torch.logsumexp(log_likelihood_KE, 0)
    # Of who says the contrary, that is expected.
    mean_E = prediction_KE.mean(0)
    is_contrary_E = (rationality_E < 0).reshape(-1, *[1] * (mean_E.ndim - 1))
    right_E, decided_E = part.likelihood.is_right(torch.where(is_contrary_E, -mean_E, mean_E), said_E)
    return Judgement(
        log_loss_E=log_loss_E.cpu(),
        right_E=right_E.cpu().numpy(),
        decided_E=decided_E.cpu().numpy(),
        block_E=part.examples.block_E[rows.cpu().numpy()],
    )


@torch.no_grad()
def predicted(ensemble: RewardEnsemble, part: Part, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return what each member expects people to say of the pieces at the given places, [K, E], and what they said."""
    # What lies between the convolutions of all pieces would not fit into memory.
    together = len(rows) if ensemble.convolutions is None else part.batch
    found = []
    for some in torch.split(rows.to(ensemble.input_mean.device), together):
        *told, said_B = part.examples.of(some)
        found.append((part.likelihood.predict(ensemble, *told), said_B))
    return torch.cat([p for p, _ in found], 1), torch.cat([said for _, said in found])


def is_worse(candidate: Sequence[Judgement], current: Sequence[Judgement]) -> bool:
    """Whether the candidate is worse, in the mean of paired differences in log-loss, by more than chance.

    The limit is two standard errors where many blocks judge. Of few blocks the error itself is badly known, and the
    limit is what Student's t exceeds as rarely. Pieces of one block differ alike, so it is blocks that are independent:
    if each signal of a stage counted as another witness, nearly everything would be refused.

    Both must have judged the same pieces of the same kinds, in the same order. With fewer than two blocks nothing is
    refused.

    Sources: Student 1908, "The probable error of a mean"; Liang and Zeger 1986, "Longitudinal data analysis using
    generalized linear models", section 3, for a mean.
    """
    pairs = list(zip(candidate, current, strict=True))
    difference_E = torch.cat([(new.log_loss_E - old.log_loss_E).double() for new, old in pairs]).numpy()
    kind_E = np.repeat(np.arange(len(pairs)), [len(new.block_E) for new, _ in pairs])
    named_2E = np.stack([kind_E, np.concatenate([new.block_E for new, _ in pairs])])
    _, block_E = np.unique(named_2E, axis=1, return_inverse=True)
    blocks = int(block_E.max(initial=-1)) + 1
    if blocks < 2:
        return False
    mean = float(difference_E.mean())
    surplus_B = np.bincount(block_E, weights=difference_E - mean)
    standard_error = math.sqrt((surplus_B**2).sum() * blocks / (blocks - 1)) / len(difference_E)
    return mean > float(stdtrit(blocks - 1, _CERTAINTY)) * standard_error
