import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from policies.descent.gradient_step import flatten_parameters
from policies.imitation.cloning import Cloning, CloningReport
from policies.imitation.imitation_loss import ImitationLoss
from policies.imitation.labels import Labels
from policies.imitation.settings import CloningSettings
from policies.networks import ActorCritic

OBSERVATIONS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
DISCRETE: gym.Space[Any] = gym.spaces.Discrete(3)
MULTI_DISCRETE: gym.Space[Any] = gym.spaces.MultiDiscrete([2, 3])
BOX = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
SPACES = {"discrete": DISCRETE, "multi discrete": MULTI_DISCRETE, "box": BOX}
TRAINING, HELDOUT = 51, 30


def _network(space: gym.Space[Any] = DISCRETE, **changes: Any) -> ActorCritic:
    torch.manual_seed(3)
    return ActorCritic(OBSERVATIONS, space, hidden=(16,), **changes)


def _labels(space: gym.Space[Any] = DISCRETE, *, heldout: int = HELDOUT, seed: int = 0) -> Labels:
    """A linear expert's; those held out come last, and every fifth one counts twice."""
    observation = np.random.default_rng(seed).uniform(-1, 1, (TRAINING + heldout, 2)).astype(np.float32)
    first, second = observation.T
    action: dict[str, Any] = {
        "discrete": np.digitize(first + second, [-0.5, 0.5]),
        "multi discrete": np.stack([first > 0, np.digitize(second, [-0.3, 0.3])], 1).astype(np.int64),
        "box": np.stack([first - second, 0.5 * second], 1),
    }
    name = next(name for name, known in SPACES.items() if known is space)
    return Labels(
        version=9,
        observation_BO=observation,
        action_BA=action[name],
        weight_B=(1 + (np.arange(len(observation)) % 5 == 0)).astype(np.float32),
        heldout_B=np.arange(len(observation)) >= TRAINING,
    )


def _settings(**changes: Any) -> CloningSettings:
    numbers: dict[str, Any] = {"learning_rate": 0.03, "minibatch_size": 16, "epochs": 20, "patience": 20}
    return CloningSettings(**(numbers | changes))


def _fit(
    network: ActorCritic, labels: Labels, settings: CloningSettings | None = None, seed: int = 0
) -> CloningReport:
    return Cloning(network, settings or _settings()).fit(labels, torch.Generator().manual_seed(seed))


def _weights(network: ActorCritic) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.policy_parameters()])


def _slow_loss(network: ActorCritic, labels: Labels, heldout: bool) -> float:
    total = weights = 0.0
    for row in np.flatnonzero(labels.heldout_B == heldout):
        observation = torch.from_numpy(labels.observation_BO[row : row + 1])
        action = torch.from_numpy(labels.action_BA[row : row + 1])
        weight = float(labels.weight_B[row])
        total -= weight * network.evaluate(observation, action)[0].item()
        weights += weight
    return total / weights


@pytest.mark.parametrize("name", SPACES)
def test_a_policy_learns_what_the_expert_does_and_reports_it(name: str) -> None:
    space = SPACES[name]
    network, labels = _network(space), _labels(space)
    before = _slow_loss(network, labels, heldout=True)
    report = _fit(network, labels, _settings(epochs=60 if space is BOX else 8))
    assert report.labels_version == 9
    assert report.heldout_loss is not None
    assert report.heldout_loss == pytest.approx(_slow_loss(network, labels, True))
    assert report.train_loss == pytest.approx(_slow_loss(network, labels, False))
    assert report.heldout_loss < before - 0.5
    rows = labels.heldout_B
    mode = network.act_greedily(torch.from_numpy(labels.observation_BO[rows])).detach().numpy()
    if space is BOX:
        by_hand = ((mode - labels.action_BA[rows]) ** 2).mean(1)
        value, other = report.heldout_squared_error, report.heldout_agreement
        assert by_hand.mean() < 0.02
    else:
        right = mode == labels.action_BA[rows]
        by_hand = right if space is DISCRETE else right[:, 0] & right[:, 1]
        value, other = report.heldout_agreement, report.heldout_squared_error
        assert 0.5 < by_hand.mean() < 1
    assert value == pytest.approx(np.average(by_hand, weights=labels.weight_B[rows]))
    assert other is None


def test_minibatches_visit_each_label_once_also_where_the_last_one_is_not_full() -> None:
    """One epoch in one order by torch's own optimiser; 51 labels are minibatches of 16, 16, 16 and 3."""
    network, labels, settings = _network(), _labels(heldout=0), _settings(epochs=1, max_gradient_norm=1e9)
    plain = copy.deepcopy(network)
    _fit(network, labels, settings)
    optimiser = torch.optim.Adam(plain.policy_parameters(), settings.learning_rate)
    order = torch.randperm(TRAINING, generator=torch.Generator().manual_seed(0)).numpy()
    for rows in np.split(order, [16, 32, 48]):
        parts = (labels.observation_BO[rows], labels.action_BA[rows], labels.weight_B[rows])
        (loss,) = ImitationLoss(plain)(*map(torch.from_numpy, parts))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.testing.assert_close(_weights(network), _weights(plain), rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    fitted = [_network() for _ in range(3)]
    for network, seed in zip(fitted, (1, 1, 2), strict=True):
        _fit(network, _labels(), seed=seed)
    assert torch.equal(_weights(fitted[0]), _weights(fitted[1]))
    assert not torch.equal(_weights(fitted[0]), _weights(fitted[2]))


def test_a_fit_depends_on_no_fit_before() -> None:
    network, labels = _network(BOX), _labels(BOX)
    begun = copy.deepcopy(network.state_dict())
    cloning, weights = Cloning(network, _settings(epochs=2)), []
    for _ in range(2):
        network.load_state_dict(begun)
        cloning.fit(labels, torch.Generator().manual_seed(0))
        weights.append(_weights(network))
    assert torch.equal(*weights)


def test_many_labels_are_judged_a_part_at_a_time() -> None:
    network, labels = _network(), _labels(heldout=5000)
    report = _fit(network, labels, _settings(epochs=1))
    rows = labels.heldout_B
    observation, action = (
        torch.from_numpy(labels.observation_BO[rows]),
        torch.from_numpy(labels.action_BA[rows]),
    )
    log_prob = network.evaluate(observation, action)[0].detach().numpy()
    assert report.heldout_loss == pytest.approx(
        -np.average(log_prob, weights=labels.weight_B[rows]), rel=1e-5
    )


def test_the_best_weights_are_kept_and_patience_ends_the_fit() -> None:
    """Some held-out labels contradict the others: from an epoch on, what is learnt makes them worse."""
    labels = _labels()
    contradict = labels.heldout_B & (np.arange(len(labels)) % 6 == 1)
    wrong = np.where(contradict, (labels.action_BA + 1) % 3, labels.action_BA)
    labels = Labels(**(_fields(labels) | {"action_BA": wrong}))
    stopping, exact = _network(), _network()
    stopped = _fit(stopping, labels, _settings(epochs=40, patience=4))
    assert 0 < stopped.best_epoch == stopped.epochs - 4 < 36
    to_the_best = _fit(exact, labels, _settings(epochs=stopped.best_epoch))
    assert to_the_best.heldout_loss == stopped.heldout_loss
    assert torch.equal(_weights(stopping), _weights(exact))


def test_a_fit_goes_on_from_the_networks_weights_and_never_ends_with_worse_ones() -> None:
    network, labels = _network(), _labels()
    cloning, generator = Cloning(network, _settings(patience=2)), torch.Generator().manual_seed(0)
    first = cloning.fit(labels, generator)
    again = cloning.fit(labels, generator)
    assert first.heldout_loss is not None
    assert again.heldout_loss is not None
    assert again.heldout_loss <= first.heldout_loss
    with torch.no_grad():
        for parameter in network.policy_parameters():
            parameter.zero_()
    one_step = _settings(epochs=1, learning_rate=1e-6)
    report = Cloning(network, one_step).fit(labels, generator)
    assert report.heldout_loss == pytest.approx(np.log(3), abs=1e-3)


def test_held_out_labels_and_those_of_no_weight_train_nothing() -> None:
    weights = []
    for heldout, changed in ((0, 0), (HELDOUT, 0), (HELDOUT, 1)):
        fields = _fields(_labels(heldout=heldout))
        fields["observation_BO"] = _labels().observation_BO[: TRAINING + heldout]
        fields["action_BA"] = _labels().action_BA[: TRAINING + heldout].copy()
        fields["weight_B"][:10] = 0
        fields["action_BA"][:10] += changed
        fields["action_BA"][:10] %= 3
        network = _network()
        report = _fit(network, Labels(**fields), _settings(epochs=3))
        assert report.best_epoch == 3
        weights.append(_weights(network))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])


def test_without_held_out_labels_all_epochs_are_made() -> None:
    report = _fit(_network(), _labels(heldout=0), _settings(patience=1))
    assert (report.epochs, report.best_epoch, report.heldout_loss) == (20, 20, None)
    assert report.heldout_agreement is None


def test_the_critic_and_the_place_of_the_weights_stay() -> None:
    """An update's optimiser holds one tensor with all weights; what is cloned must arrive in it."""
    network = _network()
    flat = flatten_parameters(network)
    before = flat.detach().clone()
    critic = copy.deepcopy(network.critic.state_dict())
    _fit(network, _labels())
    torch.testing.assert_close(network.critic.state_dict(), critic, rtol=0, atol=0)
    now = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    assert torch.equal(flat.detach(), now)
    assert not torch.equal(before, now)


def test_squared_error_leaves_the_standard_deviation_and_likelihood_fits_it() -> None:
    for loss, moves in (("likelihood", True), ("squared_error", False)):
        network = _network(BOX, initial_log_std=-0.5)
        report = _fit(network, _labels(BOX), _settings(loss=loss))
        assert bool((network.log_scale != -0.5).any()) is moves
        assert report.heldout_squared_error is not None
        assert report.heldout_squared_error < 0.02
        assert (report.heldout_loss == pytest.approx(report.heldout_squared_error)) is not moves


def test_statistics_of_observations_are_read_anew_and_stay() -> None:
    network = _network(normalise_observations=True)
    cloning, labels = Cloning(network, _settings()), _labels()
    network.observe(torch.from_numpy(100 * labels.observation_BO))
    statistics = copy.deepcopy(dict(network.named_buffers()))
    report = cloning.fit(labels, torch.Generator().manual_seed(0))
    assert report.heldout_loss == pytest.approx(_slow_loss(network, labels, True))
    torch.testing.assert_close(dict(network.named_buffers()), statistics, rtol=0, atol=0)


def test_nothing_to_train_on_is_refused() -> None:
    labels = _labels()
    none = Labels(**(_fields(labels) | {"heldout_B": np.ones_like(labels.heldout_B)}))
    weightless = Labels(**(_fields(labels) | {"weight_B": labels.heldout_B.astype(np.float32)}))
    for useless in (none, weightless):
        with pytest.raises(ValueError, match="none of 81 labels trains"):
            _fit(_network(), useless)
    with pytest.raises(ValueError, match="recurrent"):
        Cloning(_network(recurrent=4), _settings())
    for name in ("learning_rate", "minibatch_size", "epochs", "patience", "max_gradient_norm"):
        with pytest.raises(ValueError, match=name):
            _settings(**{name: 0})


def _fields(labels: Labels) -> dict[str, Any]:
    return {name: getattr(labels, name) for name in Labels.__dataclass_fields__}
