"""Who turns their answers round? What others said of the same questions tells.

The model is the one-coin model of crowds: a question has one right side; an honest teacher names it with a chance of
`accuracy`, an adversary with a chance of 1 - `accuracy`. Nobody knows what is right, so the others' honesty is summed
over, in proportion to how likely it is. The ratio of the two likelihoods is Wald's: an honest teacher's exceeds
1 / alpha with a chance of at most alpha, however often it is looked at (Ville 1939).

Sources: Wald 1945, "Sequential tests of statistical hypotheses"; Dawid and Skene 1979, "Maximum likelihood estimation
of observer error-rates"; Pearl 1988, "Probabilistic Reasoning in Intelligent Systems", section 4.2.

Axis suffixes: T teacher, Q question, E answer (an edge between the two), H hypothesis (who is honest).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Reals = NDArray[np.float64]

MOST_EXACT = 8
"""With so many teachers all cases are summed over; with more, belief propagation comes near."""
_CERTAIN = 30.0
"""Log odds of what is known."""
_SWEEPS = 200
_SETTLED = 1e-6
_DAMPING = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedAnswers:
    """Answers to questions that several teachers have decided; one for each teacher and question."""

    teacher_E: NDArray[np.int64]
    """Place of who gave it."""
    question_E: NDArray[np.int64]
    """Place of what it answers."""
    side_E: Reals
    """1 for the first, -1 for the second."""


def adversary_evidence(
    answers: SharedAnswers, *, accuracy: float, adversaries: float, trusted_T: NDArray[np.bool_]
) -> Reals:
    """Return of each teacher log P(answers | an adversary) - log P(answers | honest).

    Args:
        answers: all of them.
        accuracy: of an honest teacher, above 1/2.
        adversaries: share of teachers who turn their answers round.
        trusted_T: who is honest for certain.

    Returns:
        In nats, [T]; minus infinity for the trusted.
    """
    prior_T = np.where(trusted_T, _CERTAIN, math.log((1 - adversaries) / adversaries))
    strength = math.log(accuracy / (1 - accuracy))
    sums = _exact if len(prior_T) <= MOST_EXACT else _propagated
    evidence_T = sums(answers, strength, prior_T)
    return np.where(trusted_T, -np.inf, evidence_T)


def _exact(answers: SharedAnswers, strength: float, prior_T: Reals) -> Reals:
    teachers = len(prior_T)
    honest_HT = np.array(np.meshgrid(*[[-1.0, 1.0]] * teachers, indexing="ij")).reshape(teachers, -1).T
    said_TQ = np.zeros((teachers, int(answers.question_E.max(initial=-1)) + 1))
    said_TQ[answers.teacher_E, answers.question_E] = answers.side_E
    # Either side may be right: the sum of both is a hyperbolic cosine, up to what is the same for all.
    sum_HQ = np.abs(honest_HT @ said_TQ) * strength / 2
    likelihood_H = (sum_HQ + np.log1p(np.exp(-2 * sum_HQ))).sum(1)
    prior_HT = honest_HT * prior_T / 2
    joint_H = likelihood_H + prior_HT.sum(1)
    evidence_T = np.empty(teachers)
    for teacher in range(teachers):
        honest_H = honest_HT[:, teacher] > 0
        without_H = joint_H - prior_HT[:, teacher]
        evidence_T[teacher] = logsumexp(without_H[~honest_H]) - logsumexp(without_H[honest_H])
    return evidence_T


def _propagated(answers: SharedAnswers, strength: float, prior_T: Reals) -> Reals:
    """Pass what is known of teachers on to questions and back, until it settles; all messages are log odds."""
    teacher_E, question_E, side_E = answers.teacher_E, answers.question_E, answers.side_E
    questions = int(question_E.max(initial=-1)) + 1
    tilt, to_teacher_E = math.tanh(strength / 2), np.zeros(len(teacher_E))
    for _ in range(_SWEEPS):
        honest_T = prior_T + np.bincount(teacher_E, to_teacher_E, len(prior_T))
        to_question_E = side_E * _across(honest_T[teacher_E] - to_teacher_E, tilt)
        first_Q = np.bincount(question_E, to_question_E, questions)
        told_E = side_E * _across(first_Q[question_E] - to_question_E, tilt)
        change = np.abs(told_E - to_teacher_E).max(initial=0.0)
        to_teacher_E = _DAMPING * to_teacher_E + (1 - _DAMPING) * told_E
        if change < _SETTLED:
            break
    evidence_T: Reals = -np.bincount(teacher_E, to_teacher_E, len(prior_T)).astype(np.float64)
    return evidence_T


def _across(odds_E: Reals, tilt: float) -> Reals:
    passed_E: Reals = 2 * np.arctanh(np.tanh(odds_E / 2) * tilt)
    return passed_E
