"""Alarms: raised for what looks like a hack, by name, and as rarely as the settings say where there is none."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hitl.reward.checks.alarms import AlarmSettings, AlarmState, OnPolicy

SETTINGS = AlarmSettings(
    false_alarms=0.05, answers=100, disagreement=2.0, saturation=0.25, patience=1.5, clear_answers=4
)
CALM = OnPolicy(predicted=0.5, disagreement=1.0, saturation=0.0)
WRONG = -math.log(0.05)
RIGHT = -math.log(0.9)
LIMIT = math.log(100 / 0.05)


def _seen(batches: list[OnPolicy], state: AlarmState | None = None) -> AlarmState:
    state = state or AlarmState()
    for number, batch in enumerate(batches):
        state = state.see(batch, SETTINGS, env_steps=number)
    return state


def _promising(*, predicted: float = 1.0) -> AlarmState:
    """A state in which the predicted return has risen since the first answer that speaks against the model."""
    state = _seen([CALM]).hear([WRONG], SETTINGS, env_steps=1)
    return state.see(replace(CALM, predicted=predicted), SETTINGS, env_steps=2)


def test_calm_batches_and_right_answers_raise_nothing() -> None:
    state = _seen([CALM] * 50).hear([RIGHT] * 100, SETTINGS, env_steps=50)
    assert state.reason is None
    assert state.raised == ()
    assert state.agreement_sum == state.disagreement_sum == state.saturation_sum == 0.0


def test_the_sum_of_the_answers_is_pages() -> None:
    """max(0, S + log q0 - log q), answer by answer, with q0 a blind guess among three."""
    rng = np.random.default_rng(0)
    losses = rng.uniform(0.0, 2.2, 60).tolist()
    state, total = _seen([CALM]), 0.0
    for loss in losses:
        total = max(0.0, total + math.log(1 / 3) - math.log(math.exp(-loss)))
        state = state.hear([loss], SETTINGS, env_steps=1)
        assert state.agreement_sum == pytest.approx(total, abs=1e-9)
        assert state.reason is None
    assert total < LIMIT


def test_answers_against_the_model_raise_an_alarm_if_it_promises_more() -> None:
    needed = math.ceil(LIMIT / (WRONG - math.log(3)))
    state = _promising().hear([WRONG] * (needed - 2), SETTINGS, env_steps=3)
    assert state.reason is None
    state = state.hear([WRONG], SETTINGS, env_steps=4)
    assert state.reason == "agreement"
    assert state.raised == ((4, "agreement"),)
    for predicted in (0.5, 0.4):
        calm = _promising(predicted=predicted).hear([WRONG] * 20, SETTINGS, env_steps=4)
        assert calm.reason is None


def test_the_rise_is_measured_from_where_the_sum_left_0() -> None:
    """A promise that rose before people began to contradict, and not since, is no hack."""
    state = _seen([CALM, replace(CALM, predicted=1.0)]).hear([WRONG] * 20, SETTINGS, env_steps=3)
    assert state.reason is None
    state = state.hear([0.0] * 100, SETTINGS, env_steps=4)
    assert state.agreement_sum == 0.0
    rising = state.hear([WRONG], SETTINGS, env_steps=4).see(
        replace(CALM, predicted=1.1), SETTINGS, env_steps=5
    )
    assert rising.hear([WRONG] * 20, SETTINGS, env_steps=6).reason == "agreement"


def test_a_promise_that_was_made_before_the_sum_left_0_again_is_none() -> None:
    """Answers for the model bring the sum back to 0, and what it promises by then is what counts from there."""
    forgotten = _promising().hear([0.0] * 100, SETTINGS, env_steps=3)
    assert forgotten.agreement_sum == 0.0
    assert forgotten.hear([WRONG] * 20, SETTINGS, env_steps=4).reason is None


def test_answers_that_come_as_the_model_says_hardly_ever_raise_one() -> None:
    """The bound is 5 % of runs; every run promises more and more."""
    rng, alarms, runs = np.random.default_rng(1), 0, 1000
    for _ in range(runs):
        state = _seen([CALM])
        for number in range(100):
            state = state.see(replace(CALM, predicted=1.0 + number), SETTINGS, env_steps=number)
            share = rng.dirichlet([0.5, 0.5, 0.2])
            state = state.hear([-math.log(share[rng.choice(3, p=share)])], SETTINGS, env_steps=number)
        alarms += bool(state.raised)
    assert 0 < alarms <= 0.05 * runs


def test_disagreement_is_counted_in_octaves_above_normal_and_at_most_1_a_batch() -> None:
    twice = replace(CALM, disagreement=4.0)
    assert _seen([twice]).disagreement_sum == pytest.approx(1.0)
    assert _seen([replace(CALM, disagreement=400.0)]).disagreement_sum == pytest.approx(1.0)
    half = replace(CALM, disagreement=2.0 * 2**0.5)
    assert _seen([half]).disagreement_sum == pytest.approx(0.5)
    assert _seen([half] * 2).reason is None
    assert _seen([half] * 3).reason == "disagreement"
    assert _seen([half, half, CALM, half]).reason is None
    calmer = _seen([twice, replace(CALM, disagreement=3.0), replace(CALM, disagreement=0.1)])
    assert calmer.disagreement_sum == pytest.approx(math.log2(1.5)), "a calm batch takes 1 at most, too"
    assert _seen([twice, replace(CALM, disagreement=0.0)]).disagreement_sum == 0.0


def test_an_alarm_is_raised_when_a_sum_is_as_great_as_it_may_be() -> None:
    settings = replace(SETTINGS, patience=1.0)
    twice = AlarmState().see(replace(CALM, disagreement=4.0), settings, env_steps=0)
    assert (twice.disagreement_sum, twice.reason) == (1.0, "disagreement")


def test_saturation_is_the_share_above_normal() -> None:
    above = replace(CALM, saturation=0.75)
    assert _seen([above] * 2).saturation_sum == pytest.approx(1.0)
    assert _seen([above] * 2).reason is None
    assert _seen([above] * 3).reason == "saturation"
    assert _seen([replace(CALM, saturation=0.25)] * 100).reason is None


def test_an_alarm_holds_until_answers_and_batches_are_normal_again() -> None:
    strange = replace(CALM, saturation=1.0)
    raised = _seen([strange] * 2)
    assert raised.raised == ((1, "saturation"),)
    few = _seen([CALM], raised.hear([RIGHT] * 3, SETTINGS, env_steps=9))
    assert few.reason == "saturation"
    over = few.hear([RIGHT], SETTINGS, env_steps=10)
    assert over.reason is None
    assert over.saturation_sum == 0.0
    assert over.raised == raised.raised
    assert raised.hear([RIGHT] * 4, SETTINGS, env_steps=9).reason == "saturation"
    for batch in (replace(CALM, disagreement=1.1), replace(CALM, saturation=0.13)):
        assert _seen([batch], raised.hear([RIGHT] * 4, SETTINGS, env_steps=9)).reason == "saturation"
    doubtful = _seen([replace(CALM, disagreement=3.0)], raised.hear([RIGHT] * 4, SETTINGS, env_steps=9))
    assert doubtful.reason == "saturation"
    wrong = _seen([CALM], raised.hear([RIGHT] + [WRONG] * 3, SETTINGS, env_steps=9))
    assert wrong.reason == "saturation"
    assert wrong.hear([RIGHT] * 3, SETTINGS, env_steps=10).reason is None


def test_only_answers_after_the_alarm_clear_it() -> None:
    before = AlarmState().hear([RIGHT] * 10, SETTINGS, env_steps=0)
    raised = _seen([replace(CALM, saturation=1.0)] * 2 + [CALM], before)
    assert raised.reason == "saturation"
    assert len(raised.raised) == 1


def test_a_second_alarm_counts_again() -> None:
    strange = replace(CALM, disagreement=100.0)
    state = _seen([strange] * 2)
    cleared = state.cleared()
    assert (cleared.batches, cleared.newest, cleared.reason) == (2, strange, None)
    again = _seen([strange] * 2, cleared)
    assert again.batches == 4
    assert again.raised == ((1, "disagreement"), (1, "disagreement"))


def test_a_state_stands_in_a_checkpoint() -> None:
    state = _promising().hear([RIGHT, WRONG], SETTINGS, env_steps=7)
    state = _seen([replace(CALM, saturation=1.0)] * 3, state).hear([RIGHT], SETTINGS, env_steps=8)
    assert state.reason is not None
    assert AlarmState.of_state(state.to_state()) == state
    assert AlarmState.of_state(AlarmState().to_state()) == AlarmState()
