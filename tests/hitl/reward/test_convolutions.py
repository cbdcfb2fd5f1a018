import dataclasses
import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from hitl.events import Choice, Segment, Showing, StepAddress
from hitl.reward import ensemble as ensemble_module
from hitl.reward.candidates import stack
from hitl.reward.ensemble import RewardEnsemble
from hitl.reward.evidence.comparisons import Answer, Comparisons, arrays_of
from hitl.reward.evidence.corrections import Corrections
from hitl.reward.evidence.evidence import Evidence
from hitl.reward.evidence.signals import Signals
from hitl.reward.fitting import Fit, FitSettings, Part, judge
from hitl.reward.inference import NumpyReward, acting_reward
from hitl.reward.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions import STRATEGIES
from hitl.reward.settings import InputSettings
from hitl.reward.torch_inference import TorchReward
from policies.networks.convolutional import Convolutional
from tests.hitl.reward.comparisons import answer, answers, entry_of
from tests.hitl.reward.dots import ACTIONS, IMAGE, LOOKS, draw, model, pictures, worth
from tests.hitl.reward.test_corrections import said
from tests.hitl.reward.test_signals import signals, told

MEMBERS = 3
FILTERS = ((3, 3, 2), (4, 2, 1))
MIXED = spaces.Dict(
    camera=spaces.Box(0, 255, (7, 8, 2), np.uint8),
    speed=spaces.Box(-9, 9, (2,)),
    top=spaces.Box(0, 255, (1, 5, 6), np.uint8),
    way=spaces.Discrete(3),
)
SPACES: dict[str, tuple[gym.Space[Any], gym.Space[Any]]] = {
    "image": (spaces.Box(0, 255, (7, 8, 2), np.uint8), spaces.Discrete(4)),
    "floats": (spaces.Box(-1, 1, (2, 7, 8)), spaces.Box(-1, 1, (2,))),
    "mixed": (MIXED, spaces.MultiDiscrete([3, 2])),
}


def _ensemble(name: str, *, hidden: tuple[int, ...] = (6, 5), seed: int = 0) -> RewardEnsemble:
    torch.manual_seed(seed)
    space = InputSpace.of(*SPACES[name], InputSettings(filters=FILTERS, image_features=5))
    ensemble = RewardEnsemble(space, members=MEMBERS, hidden=hidden).double()
    for parameter in ensemble.parameters():
        if parameter.dim() < 4 and parameter.dim() > 0 and not parameter.any():
            torch.nn.init.normal_(parameter)
    return ensemble


def _steps(name: str, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    observation_space, action_space = SPACES[name]
    observation_space.seed(seed)
    action_space.seed(seed)
    flat = [spaces.flatten(observation_space, observation_space.sample()) for _ in range(count)]
    action = np.stack([action_space.sample() for _ in range(count)])
    observation = torch.from_numpy(np.stack(flat))
    return (observation if observation.dtype == torch.uint8 else observation.double()), torch.from_numpy(
        action
    )


def _convolved(image_HWC: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """A convolution, place by place."""
    outs, _, size, _ = weight.shape
    rows, columns = ((side - size) // stride + 1 for side in image_HWC.shape[:2])
    places = []
    for row, column in itertools.product(range(rows), range(columns)):
        window = image_HWC[row * stride : row * stride + size, column * stride : column * stride + size]
        places.append(
            torch.stack([(window * weight[o].permute(1, 2, 0)).sum() + bias[o] for o in range(outs)])
        )
    return torch.stack(places).view(rows, columns, outs).clamp_min(0)


def _by_hand(ensemble: RewardEnsemble, name: str, member: int, flat: Tensor, action: Tensor) -> Tensor:
    """One member on one step: images through convolutions, and all else as numbers behind them."""
    observation_space, action_space = SPACES[name]
    state = ensemble.state_dict(keep_vars=True)
    seen = spaces.unflatten(observation_space, flat.numpy())
    parts = seen if isinstance(seen, dict) else {"": seen}
    values: list[Tensor] = []
    numbers: list[float] = []
    images = 0
    for part in parts.values():
        if np.ndim(part) != 3:
            numbers += np.eye(3)[part].tolist() if np.ndim(part) == 0 else np.asarray(part).tolist()
            continue
        image = torch.from_numpy(np.asarray(part, np.float64))
        if image.shape[0] < image.shape[2]:
            image = image.permute(1, 2, 0)
        hidden = image / 255 if np.asarray(part).dtype == np.uint8 else image
        prefix = f"convolutions.members.{member}.encoders.{images}"
        for layer, (_, _, stride) in zip((0, 2), FILTERS, strict=True):
            weight, bias = (state[f"{prefix}.convolutions.{layer}.{kind}"] for kind in ("weight", "bias"))
            hidden = _convolved(hidden, weight, bias, stride)
        linear = f"{prefix}.linear.0"
        values.append(
            (
                state[f"{linear}.weight"] @ hidden.permute(2, 0, 1).flatten() + state[f"{linear}.bias"]
            ).clamp_min(0)
        )
        images += 1
    if isinstance(action_space, spaces.Discrete):
        numbers += [float(action == a) for a in range(4)]
    elif isinstance(action_space, spaces.MultiDiscrete):
        numbers += [float(action[0] == a) for a in range(3)] + [float(action[1] == a) for a in range(2)]
    else:
        numbers += action.tolist()
    standard = (torch.tensor(numbers, dtype=torch.float64) - ensemble.input_mean) / ensemble.input_std
    hidden = torch.cat([*values, standard])
    for layer, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        hidden = hidden @ weight[member] + bias[member, 0]
        if layer < len(ensemble.weights) - 1:
            hidden = hidden.tanh()
    return hidden[0]


@pytest.mark.parametrize("hidden", [(), (6, 5)])
@pytest.mark.parametrize("name", SPACES)
def test_members_are_their_networks_by_hand_and_so_are_their_gradients(
    name: str, hidden: tuple[int, ...]
) -> None:
    ensemble = _ensemble(name, hidden=hidden)
    ensemble.standardise_inputs(*_steps(name, 30, seed=1))
    observation, action = _steps(name, 4)
    raw = ensemble.raw(observation, action)
    assert raw.shape == (MEMBERS, 4)
    expected = torch.stack(
        [
            torch.stack([_by_hand(ensemble, name, k, observation[p], action[p]) for p in range(4)])
            for k in range(MEMBERS)
        ]
    )
    torch.testing.assert_close(raw, expected)
    chance = torch.randn(MEMBERS, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    learnt = [
        p for n, p in ensemble.named_parameters() if not n.startswith(("signals.", "corrections.", "log_tie"))
    ]
    ours, theirs = (torch.autograd.grad((found * chance).sum(), learnt) for found in (raw, expected))
    for gradient, other in zip(ours, theirs, strict=True):
        assert other.any()
        torch.testing.assert_close(gradient, other)


def test_members_see_with_their_own_eyes() -> None:
    ensemble = _ensemble("image")
    firsts = [p for n, p in ensemble.named_parameters() if n.endswith("encoders.0.convolutions.0.weight")]
    assert len(firsts) == MEMBERS
    assert not torch.allclose(firsts[0], firsts[1])
    member, observation = 1, _steps("image", 1)[0]
    others = [k for k in range(MEMBERS) if k != member]
    assert ensemble.convolutions is not None
    before = ensemble.convolutions(observation).detach()
    with torch.no_grad():
        firsts[member].mul_(2)
    after = ensemble.convolutions(observation).detach()
    assert torch.equal(after[others], before[others])
    assert not torch.equal(after[member], before[member])


def test_many_images_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = _ensemble("image")
    observation, action = _steps("image", 30)
    whole, seen = ensemble.raw(observation, action), []
    monkeypatch.setattr(ensemble_module, "_IMAGES_TOGETHER", 7)
    assert ensemble.convolutions is not None
    ensemble.convolutions.register_forward_hook(lambda _, inputs, out: seen.append(len(inputs[0])))
    torch.testing.assert_close(ensemble.raw(observation, action), whole)
    torch.testing.assert_close(ensemble.raw(observation.view(6, 5, -1), action.view(6, 5)).flatten(1), whole)
    assert seen == [7] * 4 + [2] + [5] * 6


@pytest.mark.parametrize("name", SPACES)
def test_an_image_is_read_once_for_all_actions(name: str) -> None:
    ensemble = _ensemble(name)
    probe = _steps(name, 40, seed=1)
    ensemble.standardise_inputs(*probe)
    ensemble.set_gauge(*probe)
    (observation, _), (_, candidates) = _steps(name, 6), _steps(name, 5, seed=2)
    seen: list[int] = []
    assert ensemble.convolutions is not None
    hook = ensemble.convolutions.register_forward_hook(lambda _, inputs, out: seen.append(len(inputs[0])))
    found = ensemble.of_actions(observation, candidates)
    assert seen == [6]
    hook.remove()
    expected = [
        ensemble.reward(observation, action.expand(6, *action.shape)).detach() for action in candidates
    ]
    torch.testing.assert_close(found.detach(), torch.stack(expected, 1))


@pytest.mark.parametrize("name", SPACES)
def test_who_acts_by_it_hears_what_the_ensemble_says(name: str) -> None:
    space = InputSpace.of(*SPACES[name], InputSettings(filters=FILTERS, image_features=5))
    ensemble, reward = _ensemble(name, seed=3).float(), acting_reward(space)
    assert isinstance(reward, TorchReward)
    observation, action = _steps(name, 20)
    observation = observation.float() if observation.is_floating_point() else observation
    ensemble.standardise_inputs(observation, action)
    ensemble.set_gauge(observation, action)
    seen, done = observation.numpy(), action.numpy()
    assert not reward.reward(seen, done).any()
    assert reward.of_actions(seen, done[:3]).shape == (20, 3)
    arrays = {name: value.copy() for name, value in ensemble.to_arrays().items()}
    for _ in range(2):
        reward.load(arrays)
        expected = ensemble.reward(observation, action).detach().numpy()
        np.testing.assert_allclose(reward.reward(seen, done), expected, atol=1e-6)
        of_actions = reward.of_actions(seen[:7], done[:5])
        for n, c in np.ndindex(7, 5):
            one = ensemble.reward(observation[n : n + 1], action[c : c + 1]).item()
            assert of_actions[n, c] == pytest.approx(one, abs=1e-5)
        # A newer version takes its place, and what becomes of its arrays is none of the reader's business.
        with torch.no_grad():
            for parameter in ensemble.parameters():
                parameter.mul_(1.5)
        before, arrays = arrays, ensemble.to_arrays()  # type: ignore[assignment]
        for value in before.values():
            value[...] = 0


def test_where_there_are_no_images_numpy_acts() -> None:
    for looks in (InputSettings(encoder="flat"), LOOKS):
        reward = acting_reward(InputSpace.of(IMAGE, ACTIONS, looks))
        assert isinstance(reward, NumpyReward) == (looks.encoder == "flat")
    assert isinstance(acting_reward(InputSpace.of(spaces.Box(-1, 1, (3,)), ACTIONS)), NumpyReward)


def test_images_are_what_a_policy_reads_through_convolutions() -> None:
    def images(space: gym.Space[Any], **settings: Any) -> list[str]:
        return [leaf.name for leaf in InputSpace.of(space, ACTIONS, InputSettings(**settings)).images]

    assert images(MIXED) == images(MIXED, encoder="cnn") == ["camera", "top"]
    assert images(MIXED, encoder="flat") == []
    assert images(IMAGE) == [""]
    vector = spaces.Box(-1, 1, (4,))
    assert images(vector) == []
    with pytest.raises(TypeError, match=r"reward.model.encoder: cnn needs an observation with a Box"):
        images(vector, encoder="cnn")
    features = f"{__name__}:brightness"
    assert InputSpace.of(IMAGE, ACTIONS, InputSettings(features=features)).images == ()
    with pytest.raises(TypeError, match="leave one of them out"):
        images(IMAGE, features=features, encoder="cnn")
    assert InputSpace.of(MIXED, ACTIONS).size == 2 + 3 + 4
    with pytest.raises(ValueError, match=r"reward.model.filters: convolution 1 has a kernel of 9"):
        RewardEnsemble(
            InputSpace.of(MIXED, ACTIONS, InputSettings(filters=((4, 9, 1),))), members=1, hidden=()
        )


def brightness(observation_NO: np.ndarray) -> np.ndarray:
    return observation_NO.mean(1, keepdims=True)[:, None].repeat(4, 1)


def test_without_settings_members_are_nature_networks_with_features_of_their_own() -> None:
    space = InputSpace.of(spaces.Box(0, 255, (84, 84, 4), np.uint8), ACTIONS)
    with torch.device("meta"):
        ensemble = RewardEnsemble(space, members=2, hidden=(64,))
    members = [module for module in ensemble.modules() if isinstance(module, Convolutional)]
    assert [m.size for m in members] == [64, 64]
    shapes = [tuple(p.shape) for p in members[0].parameters() if p.dim() == 4]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)]
    assert ensemble.weights[0].shape == (2, 64 + 4, 64)


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
    kind = Comparisons(lapse=0.05, batch=16, heldout_share=0.0, seed=0)
    for one in told:
        kind.take(*entry_of(one))
    return kind


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
    kind = Corrections(ACTIONS, alternatives=3, batch=16, heldout_share=0.0, members=2, seed=0)
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
    assert arrays_of(told, heldout_share=0.0).observation_SLO.dtype == np.uint8
    assert stack([told[0].first, told[1].first])[0].dtype == np.uint8
    kinds: list[Any] = [_comparisons(told), _signals(40), _corrections(70)]
    for kind in kinds:
        for looks, dtype in ((LOOKS, torch.uint8), (InputSettings(encoder="flat"), torch.float32)):
            examples = kind.examples(model([kind], settings=looks).ensemble)
            assert examples.of(torch.arange(2))[0].dtype == dtype
    assert kinds[1]._rows.observation_SLO.dtype == np.uint8
    assert kinds[2]._rows.observation_SO.dtype == np.uint8
    assert arrays_of(answers(2), heldout_share=0.0).observation_SLO.dtype == np.float32


def test_pictures_are_kept_as_they_were() -> None:
    told = _answers(1)
    kept = arrays_of(told, heldout_share=0.0).observation_SLO
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
            found = likelihood.log_likelihood(ensemble, likelihood.predict(ensemble, *told), choice)
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


def test_questions_are_chosen_among_pictures() -> None:
    learnt = model([])
    segments = [_segment(f"{n}", *draw(4, n)) for n in range(12)]
    options = {"count": 2, "pool": 30, "strategy": STRATEGIES["disagreement"]}
    chosen = learnt.choose(segments, rng=np.random.default_rng(0), **options)  # type: ignore[arg-type]
    with torch.no_grad():
        returns = torch.cat(
            [
                learnt.ensemble.raw(
                    torch.from_numpy(np.asarray(s.observations["obs"])),
                    torch.from_numpy(np.asarray(s.actions)),
                ).sum(1, keepdim=True)
                for s in segments
            ],
            1,
        )
    assert len(chosen) == 2
    for pair in chosen:
        margin = returns[:, pair.first] - returns[:, pair.second]
        own = STRATEGIES["disagreement"](margin[:, None], np.random.default_rng(0))[0]
        assert pair.value == pytest.approx(float(own), abs=1e-5)
