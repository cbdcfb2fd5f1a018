import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from policies.imitation.gates import (
    BetaMixture,
    EnsembleDAgger,
    Gate,
    HGDAgger,
    LazyDAgger,
    Moment,
    ThriftyDAgger,
    ThriftyLimits,
)

LIMITS = ThriftyLimits(novelty=0.8, risk=0.7, calm_discrepancy=0.4, calm_risk=0.5)
GATES: dict[str, Callable[[int | None], Gate]] = {
    "beta": lambda most: BetaMixture(0.5, seed=0, most_switches=most),
    "ensemble": lambda most: EnsembleDAgger(chi=0.7, tau=0.7, most_switches=most),
    "lazy": lambda most: LazyDAgger(tau_sup=0.7, tau_auto=0.3, most_switches=most),
    "thrifty": lambda most: ThriftyDAgger(LIMITS, target_share=0.2, fewest_steps=10_000, most_switches=most),
    "person": lambda most: HGDAgger(most_switches=most),
}


def _moments(steps: int = 300, length: int = 30, seed: int = 0) -> list[Moment]:
    """Episodes of random numbers."""
    random = np.random.default_rng(seed)
    return [
        Moment(
            begins=t % length == 0,
            doubt=random.random(),
            risk=random.random(),
            predicted_discrepancy=random.random(),
            discrepancy=random.random(),
            person_acts=bool(random.random() < 0.5),
        )
        for t in range(steps)
    ]


def _acts(gate: Gate, moments: Sequence[Moment]) -> list[bool]:
    return [gate.expert_acts(moment) for moment in moments]


def _number(value: float | None) -> float:
    assert value is not None
    return value


def _ensemble_slowly(moments: Sequence[Moment]) -> list[bool]:
    return [not (_number(m.doubt) <= 0.7 and _number(m.discrepancy) <= 0.7) for m in moments]


def _lazy_slowly(moments: Sequence[Moment]) -> list[bool]:
    """The algorithm as it is written: after a step of the expert, a discrepancy below tau_auto ends their mode."""
    acts, mode = [], "autonomous"
    for t, m in enumerate(moments):
        if m.begins:
            mode = "autonomous"
        if mode == "supervisor" or _number(m.predicted_discrepancy) > 0.7:
            acts.append(True)
            # The next moment tells the discrepancy of this step.
            after = _number(moments[t + 1].discrepancy) if t + 1 < len(moments) else math.inf
            mode = "autonomous" if after < 0.3 else "supervisor"
        else:
            acts.append(False)
    return acts


def _thrifty_slowly(moments: Sequence[Moment], limits: ThriftyLimits = LIMITS) -> list[bool]:
    acts: list[bool] = []
    for m in moments:
        expert = bool(acts) and acts[-1] and not m.begins
        if expert and _number(m.discrepancy) < limits.calm_discrepancy and _number(m.risk) < limits.calm_risk:
            expert = False
        if not expert:
            expert = _number(m.doubt) > limits.novelty or _number(m.risk) > limits.risk
        acts.append(expert)
    return acts


def _person_slowly(moments: Sequence[Moment]) -> list[bool]:
    return [m.person_acts for m in moments]


SLOWLY: dict[str, Callable[[Sequence[Moment]], list[bool]]] = {
    "ensemble": _ensemble_slowly,
    "lazy": _lazy_slowly,
    "thrifty": _thrifty_slowly,
    "person": _person_slowly,
}


@pytest.mark.parametrize("name", SLOWLY)
def test_who_acts_is_as_in_the_paper(name: str) -> None:
    moments = _moments()
    acts = _acts(GATES[name](None), moments)
    assert acts == SLOWLY[name](moments)
    assert 60 < sum(acts) < 240


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("most", [0, 1, 2])
def test_after_the_last_switch_of_an_episode_the_policy_acts(name: str, most: int) -> None:
    """The same as without a bound, up to where the switch after the last one would be."""
    moments = _moments()
    free, bound = _acts(GATES[name](None), moments), _acts(GATES[name](most), moments)
    refused = 0
    for begin in range(0, len(moments), 30):
        expected, switches = [], 0
        for t in range(begin, begin + 30):
            switches += free[t] and (t == begin or not free[t - 1])
            expected.append(free[t] and switches <= most)
        refused += switches > most
        assert bound[begin : begin + 30] == expected
    assert refused > 5


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("ensemble", "doubt"),
        ("ensemble", "discrepancy"),
        ("lazy", "predicted_discrepancy"),
        ("thrifty", "doubt"),
        ("thrifty", "risk"),
    ],
)
@pytest.mark.parametrize("value", [None, math.nan])
def test_no_gate_guesses(name: str, needed: str, value: float | None) -> None:
    names = ("doubt", "risk", "predicted_discrepancy", "discrepancy")
    numbers: dict[str, Any] = dict.fromkeys(names, 0.0)
    gate = GATES[name](None)
    gate.expert_acts(Moment(begins=True, **numbers))
    with pytest.raises(ValueError, match=f"needs {needed} at this step"):
        gate.expert_acts(Moment(begins=False, **(numbers | {needed: value})))


def test_as_long_as_nobody_knows_the_risk_novelty_alone_decides() -> None:
    limits = ThriftyLimits(novelty=0.8, risk=math.inf, calm_discrepancy=0.4, calm_risk=math.inf)
    without, unknown = (ThriftyDAgger(limits, target_share=0.2, reads_risk=reads) for reads in (False, True))
    moments = [dataclasses.replace(moment, risk=None) for moment in _moments()]
    assert _acts(without, moments) == _acts(unknown, moments)
    with pytest.raises(ValueError, match="needs risk"):
        unknown.expert_acts(dataclasses.replace(moments[1], risk=math.nan))


def test_the_first_risks_decide_nothing_until_there_are_enough_to_choose_limits_from() -> None:
    """However high they are; and what was new before they came is no risk of 0."""
    limits = ThriftyLimits(novelty=0.8, risk=math.inf, calm_discrepancy=0.4, calm_risk=math.inf)
    gate = ThriftyDAgger(limits, target_share=0.2, fewest_steps=10)
    for t in range(50):
        gate.expert_acts(Moment(begins=t % 10 == 0, doubt=0.0))
    for t in range(10):
        assert not gate.expert_acts(Moment(begins=t == 0, doubt=0.0, risk=0.9 + t / 1000))
    assert gate.limits.risk == math.inf
    calls = [gate.expert_acts(Moment(begins=t == 0, doubt=0.0, risk=0.9 + t / 1000)) for t in range(8)]
    assert (gate.limits.risk, gate.limits.calm_risk) == pytest.approx((0.907, 0.9045))
    assert not any(calls)
    assert gate.expert_acts(Moment(begins=False, doubt=0.0, risk=0.9 + 8 / 1000))


@pytest.mark.parametrize("name", ["lazy", "thrifty"])
def test_the_true_discrepancy_is_needed_only_while_the_expert_acts(name: str) -> None:
    gate = GATES[name](None)
    assert gate.expert_acts(Moment(begins=True, doubt=0.9, risk=0.0, predicted_discrepancy=0.9))
    with pytest.raises(ValueError, match="needs discrepancy"):
        gate.expert_acts(Moment(begins=False, doubt=0.0, risk=0.0, predicted_discrepancy=0.0))


def test_which_steps_are_labels() -> None:
    every_step = {name for name, make in GATES.items() if make(None).labels_every_step}
    assert every_step == {"beta", "ensemble"}


def test_beta_is_the_share_of_the_experts_steps() -> None:
    moments = [Moment(begins=t % 50 == 0) for t in range(20_000)]
    for beta in (0.0, 0.3, 1.0):
        share = np.mean(_acts(BetaMixture(beta, seed=1), moments))
        assert share == pytest.approx(beta, abs=3 * math.sqrt(beta * (1 - beta) / 20_000))
    acts = [_acts(BetaMixture(0.3, seed=seed), moments) for seed in (1, 1, 2)]
    assert acts[0] == acts[1] != acts[2]


def test_beta_draws_whole_episodes_if_told_to() -> None:
    moments = [Moment(begins=t % 5 == 0) for t in range(10_000)]
    acts = np.reshape(_acts(BetaMixture(0.3, seed=1, drawn_each="episode"), moments), (2000, 5))
    assert (acts == acts[:, :1]).all()
    assert acts.mean() == pytest.approx(0.3, abs=3 * math.sqrt(0.21 / 2000))


def test_a_smaller_beta_takes_steps_away_from_the_expert_and_gives_none() -> None:
    moments = _moments()
    gates = [BetaMixture(beta, seed=0) for beta in (0.6, 0.3)]
    more, fewer = (_acts(gate, moments) for gate in gates)
    assert all(a or not b for a, b in zip(more, fewer, strict=True))
    assert sum(more) > sum(fewer) > 0
    gates[0].beta = 0.0
    assert not any(_acts(gates[0], moments))


def test_limits_are_those_that_the_target_share_of_the_policys_steps_exceeds() -> None:
    """Against quantiles by counting, of the steps that were the policy's to take."""
    share, moments = 0.2, _moments(600, 60)
    gate = ThriftyDAgger(LIMITS, target_share=share, fewest_steps=25)
    assert gate.limits == LIMITS
    novelty: list[float] = []
    risk: list[float] = []
    fitted = LIMITS
    for begin in range(0, 600, 60):
        episode = moments[begin : begin + 60]
        if len(novelty) >= 25:
            high = [min(x for x in xs if sum(y > x for y in xs) <= share * len(xs)) for xs in (novelty, risk)]
            fitted = ThriftyLimits(
                novelty=high[0], risk=high[1], calm_discrepancy=0.4, calm_risk=float(np.median(risk))
            )
        acts = _acts(gate, episode)
        assert gate.limits == fitted
        assert acts == _thrifty_slowly(episode, fitted)
        for t, m in enumerate(episode):
            returns = _number(m.discrepancy) < 0.4 and _number(m.risk) < fitted.calm_risk
            if t == 0 or not acts[t - 1] or returns:
                novelty.append(_number(m.doubt))
                risk.append(_number(m.risk))
    assert fitted != LIMITS


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_expert_is_called_for_the_target_share_of_steps(share: float) -> None:
    """By novelty alone, and where the expert gives back at once; whatever the scale of doubt is."""
    gate = ThriftyDAgger(LIMITS, target_share=share, reads_risk=False)
    doubts = np.random.default_rng(1).gamma(2.0, 40.0, 6000)
    moments = [Moment(begins=t % 50 == 0, doubt=float(d), discrepancy=0.0) for t, d in enumerate(doubts)]
    acts = _acts(gate, moments)
    assert np.mean(acts[:50]) > 0.9
    assert np.mean(acts[1000:]) == pytest.approx(share, abs=0.02)


def test_limits_forget_what_is_long_ago() -> None:
    limits = ThriftyLimits(novelty=math.inf, risk=math.inf, calm_discrepancy=0.0, calm_risk=0.0)
    gate = ThriftyDAgger(limits, target_share=0.1, most_steps=100)
    for t in range(300):
        assert not gate.expert_acts(Moment(begins=False, doubt=300.0 - t, risk=600.0 - 2 * t))
    gate.expert_acts(Moment(begins=True, doubt=0.0, risk=0.0))
    assert gate.limits == ThriftyLimits(novelty=90, risk=180, calm_discrepancy=0.0, calm_risk=101)


def test_the_doubt_threshold_is_the_mean_at_the_last_quarter_of_interventions() -> None:
    gate = HGDAgger()
    doubts = [0.5, 0.1, 0.9, 0.4, 0.3, 0.8, 0.2]
    thresholds: list[float | None] = [gate.doubt_threshold]
    for number, at_start in enumerate(doubts):
        for doubt, person in ((0.0, False), (at_start, True), (7.0, True)):
            gate.expert_acts(Moment(begins=number == 0 and not person, doubt=doubt, person_acts=person))
        thresholds.append(gate.doubt_threshold)
    # Of 1 to 7 interventions, those from floor(0.75 N) on.
    assert thresholds[0] is None
    assert thresholds[1:] == pytest.approx(
        [0.5, 0.1, 0.9, 0.4, (0.4 + 0.3) / 2, (0.3 + 0.8) / 2, (0.8 + 0.2) / 2]
    )
    unsure = HGDAgger()
    assert unsure.expert_acts(Moment(begins=True, person_acts=True))
    assert unsure.doubt_threshold is None


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="probability"):
        BetaMixture(1.1, seed=0)
    for chi, tau in ((-1.0, 0.0), (0.0, math.nan)):
        with pytest.raises(ValueError, match="0 or more"):
            EnsembleDAgger(chi=chi, tau=tau)
    for tau_sup, tau_auto in ((0.3, 0.3), (0.3, 0.0)):
        with pytest.raises(ValueError, match="tau_auto < tau_sup"):
            LazyDAgger(tau_sup=tau_sup, tau_auto=tau_auto)
    for share in (0.0, 0.5):
        with pytest.raises(ValueError, match="target_share"):
            ThriftyDAgger(LIMITS, target_share=share)
    for fewest in (0, 6):
        with pytest.raises(ValueError, match="fewest_steps"):
            ThriftyDAgger(LIMITS, target_share=0.1, fewest_steps=fewest, most_steps=5)
    with pytest.raises(ValueError, match="most_switches"):
        HGDAgger(most_switches=-1)
