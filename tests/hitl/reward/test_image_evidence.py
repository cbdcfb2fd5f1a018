import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from hitl.events import Choice, Segment, Showing, StepAddress
from hitl.reward.evidence.comparisons import Comparisons
from hitl.reward.evidence.corrections import Corrections
from hitl.reward.evidence.evidence import Evidence, Teachers
from hitl.reward.evidence.signals import Signals
from hitl.reward.fitting import Fit, Part, judge
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions.candidates import stack
from hitl.reward.settings import FitSettings, InputSettings
from tests.hitl.reward.comparisons import Answer, answer, answers, arrays_of, comparisons
from tests.hitl.reward.dots import ACTIONS, IMAGE, LOOKS, draw, model, pictures, worth
from tests.hitl.reward.test_corrections import said
from tests.hitl.reward.test_signals import signals, told


def _segment(name: str, place: np.ndarray, action: np.ndarray) -> Segment:
    return Segment(
        segment_id=name,
        address=StepAddress(task_id="task", run_id="run", source=name, episode=0, begin=0, end=len(place)),
        observations={"obs": pictures(place)},
        actions=action,
        policy_version=0,
    )


def _answers(count: int, steps: int = 6) -> list[Answer]:
    told = []
    for number in range(count):
        drawn = [draw(steps, 2 * number + half) for half in (0, 1)]
        first, second = (_segment(f"{number}/{half}", *drawn[half]) for half in (0, 1))
        better = worth(*drawn[0]).sum() > worth(*drawn[1]).sum()
        choice = Choice.FIRST if better else Choice.SECOND
        told.append(answer(number, first, second, choice))
    return told


def _comparisons(told: list[Answer]) -> Comparisons:
    return comparisons(told, lapse=0.05)


def _shown(count: int, seed: int) -> tuple[Segment, np.ndarray]:
    """What a stage has shown, a tenth of a second each."""
    place, action = draw(count, seed)
    address = StepAddress(task_id="task", run_id="run", source="stage", episode=0, begin=0, end=count)
    showing = Showing(
        stage_id="stage", first_frame=1, seconds=np.arange(1, count + 1) / 10.0,
        policy_versions=np.ones(count, np.int64),
    )  # fmt: skip
    segment = Segment(
        segment_id="stage/1", address=address, observations={"obs": pictures(place)}, actions=action,
        policy_version=1, showing=showing,
    )  # fmt: skip
    return segment, worth(place, action)


def _signals(count: int = 300) -> Signals:
    """Each key press is about the six steps before it, and says whether they were better than most."""
    kind, (segment, score) = signals(members=2), _shown(count, 5)
    middle = np.median(score)
    for frame in range(9, count):
        value = float(np.clip((score[frame - 9 : frame - 3] - middle).mean(), -1, 1))
        kind.take(told(frame, frame, value), [segment])
    return kind


def _corrections(count: int = 150) -> Corrections:
    kind = Corrections(ACTIONS, Teachers(), alternatives=3, batch=16, heldout_share=0.0, members=2, seed=0)
    place, _ = draw(count, 7)
    best = np.stack([worth(place, np.full(count, a)) for a in range(4)], 1).argmax(1)
    for number in range(count):
        journal, (segment,) = said(f"event-{number}", number, np.zeros((1, 1)), best[number : number + 1])
        seen = {"obs": pictures(place[number : number + 1])}
        kind.take(journal, [dataclasses.replace(segment, observations=seen)])
    return kind


def _rank_correlation(learnt: OnlineRewardModel) -> float:
    place, action = draw(500, 1234)
    with torch.no_grad():
        found = learnt.ensemble.reward(torch.from_numpy(pictures(place)), torch.from_numpy(action)).numpy()
    order = [np.argsort(np.argsort(x)) for x in (found, worth(place, action))]
    return float(np.corrcoef(*order)[0, 1])


@pytest.mark.parametrize(("kind", "least"), [("comparisons", 0.7), ("signals", 0.75)])
def test_the_order_of_places_is_learnt_from_pictures(kind: str, least: float) -> None:
    evidence: Evidence = _comparisons(_answers(200)) if kind == "comparisons" else _signals()
    learnt = model([evidence], gradient_steps=150)
    assert _rank_correlation(learnt) < 0.3
    learnt.fit(is_first=True)
    assert _rank_correlation(learnt) > least


def test_where_to_go_is_learnt_from_corrections_of_pictures() -> None:
    learnt = model([_corrections()], gradient_steps=150)
    learnt.fit(is_first=True)
    place, _ = draw(300, 77)
    with torch.no_grad():
        chosen = learnt.ensemble.of_actions(torch.from_numpy(pictures(place)), torch.arange(4)).argmax(1)
    score = np.stack([worth(place, np.full(300, a)) for a in range(4)], 1)
    assert (score[np.arange(300), chosen.numpy()] == score.max(1)).mean() > 0.75


def test_bytes_stay_bytes_wherever_they_are_kept() -> None:
    told = _answers(3)
    assert arrays_of(told, heldout_share=0.0).segments.observation_SLO.dtype == np.uint8
    assert stack([told[0].first, told[1].first])[0].dtype == np.uint8
    kinds: list[Any] = [_comparisons(told), _signals(40), _corrections(70)]
    for kind in kinds:
        for looks, dtype in ((LOOKS, torch.uint8), (InputSettings(encoder="flat"), torch.float32)):
            examples = kind.examples(model([kind], settings=looks).ensemble)
            assert examples.of(torch.arange(2))[0].dtype == dtype
    assert kinds[1]._rows.observation_SLO.dtype == np.uint8
    assert kinds[2]._rows.observation_SO.dtype == np.uint8
    assert arrays_of(answers(2), heldout_share=0.0).segments.observation_SLO.dtype == np.float32


def test_pictures_are_kept_as_they_were() -> None:
    told = _answers(1)
    kept = arrays_of(told, heldout_share=0.0).segments.observation_SLO
    np.testing.assert_array_equal(kept[0], told[0].first.observations["obs"])
    kind = _corrections(70)
    examples = kind.examples(model([kind]).ensemble)
    assert examples is not None
    observation, numbers, _ = examples.of(torch.arange(70))
    assert observation.shape == (70, 1, 256)
    assert numbers.shape == (70, 4, 4)
    np.testing.assert_array_equal(observation[:, 0].numpy(), pictures(draw(70, 7)[0]))


def test_a_gradient_step_as_kernels_is_a_gradient_step() -> None:
    settings = FitSettings(learning_rate=0.01, weight_decay=0.02, gradient_steps=2)
    kind = _comparisons(_answers(16))
    fitted, plain = model([]).ensemble, model([]).ensemble
    torch.testing.assert_close(fitted.state_dict(), plain.state_dict())
    generator = torch.Generator().manual_seed(0)
    for ensemble in (fitted, plain):
        examples = kind.examples(ensemble)
        assert examples is not None
        part = Part(likelihood=kind.likelihood, examples=examples, batch=16)
        if ensemble is fitted:
            Fit(ensemble, settings)([part], generator=generator)
            continue
        # All pieces are in each minibatch, so their order does not matter.
        optimiser = torch.optim.AdamW(ensemble.parameters(), lr=0.01, weight_decay=0.02)
        for _ in range(2):
            *told, choice = examples.of(torch.arange(16))
            likelihood = kind.likelihood
            found = likelihood.log_likelihood(
                ensemble, likelihood.predict(ensemble, *told), choice, torch.ones(16)
            )
            weight = examples.bootstrap_KE
            optimiser.zero_grad()
            (-(found * weight).sum() / weight.sum()).backward()  # type: ignore[no-untyped-call]
            # What comparisons say nothing about has no gradient, and decays all the same.
            for parameter in ensemble.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            optimiser.step()
    for name, value in fitted.state_dict().items():
        # An offset says nothing to a comparison: its gradient is rounding, which Adam makes as long as any.
        if name == "biases.1":
            continue
        torch.testing.assert_close(value, plain.state_dict()[name], atol=1e-4, rtol=1e-3, msg=name)


def test_judging_in_parts_is_judging_at_once() -> None:
    kind = _comparisons(_answers(10))
    ensemble = model([]).ensemble
    examples = kind.examples(ensemble)
    assert examples is not None
    found = [
        judge(ensemble, Part(likelihood=kind.likelihood, examples=examples, batch=batch), torch.arange(10))
        for batch in (3, 10)
    ]
    torch.testing.assert_close(found[0].log_loss_E, found[1].log_loss_E)
    assert found[0].accuracy == found[1].accuracy


def test_a_version_is_the_same_model_again() -> None:
    learnt = model([_comparisons(_answers(10))], gradient_steps=3)
    learnt.fit(is_first=True)
    arrays = learnt.weights()
    other = RewardEnsemble.of_arrays(InputSpace.of(IMAGE, ACTIONS, LOOKS), arrays)
    place, action = draw(50, 3)
    steps = torch.from_numpy(pictures(place)), torch.from_numpy(action)
    assert torch.equal(other.reward(*steps), learnt.ensemble.reward(*steps))
    again = model([])
    assert not torch.equal(again.ensemble.reward(*steps), other.reward(*steps))
    again.load(arrays)
    assert torch.equal(again.ensemble.reward(*steps), other.reward(*steps))
