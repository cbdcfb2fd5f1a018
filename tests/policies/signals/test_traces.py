"""Against the recursion of the paper's algorithm, one signal and one number at a time."""

import numpy as np
import pytest

from policies.signals.traces import traces

CASES = [np.random.default_rng(seed) for seed in range(8)]
STEPS, PARAMETERS = 9, 4


def trace_of_coach(score_TP: np.ndarray, *, now: int, delay: int, decay: float) -> np.ndarray:
    """MacGlashan et al. 2017, Algorithm 1: what the trace is when the feedback of time `now` comes."""
    trace_P = np.zeros(PARAMETERS)
    for t in range(now + 1):
        if t - delay >= 0:
            trace_P = decay * trace_P + score_TP[t - delay]
    return trace_P


@pytest.mark.parametrize("rng", CASES)
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_credit_on_one_step_is_the_trace_of_the_paper(rng: np.random.Generator, delay: int) -> None:
    score_TP, decay, now = rng.normal(size=(STEPS, PARAMETERS)), rng.uniform(), int(rng.integers(3, STEPS))
    credit_SL = np.zeros((1, STEPS))
    credit_SL[0, now - delay] = 1
    found = traces(credit_SL, decay=decay, acted_SL=np.ones((1, STEPS), bool)) @ score_TP
    wanted = trace_of_coach(score_TP, now=now, delay=delay, decay=decay)
    np.testing.assert_allclose(found[0], wanted, atol=1e-12)


@pytest.mark.parametrize("rng", CASES)
def test_a_density_is_the_expectation_over_the_delay(rng: np.random.Generator) -> None:
    score_TP, decay = rng.normal(size=(STEPS, PARAMETERS)), rng.uniform()
    credit_SL = rng.dirichlet(np.ones(STEPS), 3)
    found = traces(credit_SL, decay=decay, acted_SL=np.ones((3, STEPS), bool)) @ score_TP
    for row, credit_L in enumerate(credit_SL):
        wanted = np.zeros(PARAMETERS)
        for delay in range(STEPS):
            chance = credit_L[STEPS - 1 - delay]
            wanted += chance * trace_of_coach(score_TP, now=STEPS - 1, delay=delay, decay=decay)
        np.testing.assert_allclose(found[row], wanted, atol=1e-12)


@pytest.mark.parametrize("rng", CASES)
def test_a_trace_ends_at_episodes_and_at_what_others_did(rng: np.random.Generator) -> None:
    """The recursion forwards in time, begun anew; steps of others have no score."""
    score_TP, decay = rng.normal(size=(STEPS, PARAMETERS)), rng.uniform()
    acted_SL, begin_SL = rng.random((5, STEPS)) < 0.7, rng.random((5, STEPS)) < 0.3
    credit_SL = rng.dirichlet(np.ones(STEPS), 5)
    found = traces(credit_SL, decay=decay, acted_SL=acted_SL, begin_SL=begin_SL) @ score_TP
    for row in range(5):
        wanted, trace_P = np.zeros(PARAMETERS), np.zeros(PARAMETERS)
        for t in range(STEPS):
            if begin_SL[row, t]:
                trace_P = np.zeros(PARAMETERS)
            trace_P = decay * trace_P + score_TP[t] if acted_SL[row, t] else np.zeros(PARAMETERS)
            wanted += credit_SL[row, t] * trace_P
        np.testing.assert_allclose(found[row], wanted, atol=1e-12)


def test_without_decay_the_policys_credit_is_left() -> None:
    credit_SL, acted_SL = np.array([[0.2, 0.3, 0.5]]), np.array([[True, False, True]])
    assert traces(credit_SL, decay=0.0, acted_SL=acted_SL).tolist() == [[0.2, 0.0, 0.5]]
    assert credit_SL.tolist() == [[0.2, 0.3, 0.5]]
