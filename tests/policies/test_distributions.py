import itertools
import math

import gymnasium as gym
import numpy as np
import pytest
import torch

from policies.distributions import Categorical, DiagonalGaussian, MultiCategorical, for_space

NO_SCALE = torch.zeros(0)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_categorical_log_probabilities_and_entropy_by_hand() -> None:
    output = 3 * _random(5, 4, 3)
    action = torch.arange(20).reshape(5, 4) % 3
    kind = Categorical(3)
    log_prob, entropy = kind.log_prob(output, NO_SCALE, action), kind.entropy(output, NO_SCALE)
    for place in np.ndindex(5, 4):
        weights = [math.exp(float(x)) for x in output[place]]
        probabilities = [weight / sum(weights) for weight in weights]
        assert float(log_prob[place]) == pytest.approx(math.log(probabilities[int(action[place])]))
        assert float(entropy[place]) == pytest.approx(-sum(p * math.log(p) for p in probabilities))


def test_gaussian_log_densities_and_entropy_by_hand() -> None:
    mean, log_scale, action = _random(6, 3), 0.5 * _random(3, seed=1), _random(6, 3, seed=2)
    kind = DiagonalGaussian(3)
    log_prob, entropy = kind.log_prob(mean, log_scale, action), kind.entropy(mean, log_scale)
    assert entropy.shape == (6,)
    for row in range(6):
        density, nats = 1.0, 0.0
        for axis in range(3):
            sigma = math.exp(float(log_scale[axis]))
            z = (float(action[row, axis]) - float(mean[row, axis])) / sigma
            density *= math.exp(-z * z / 2) / (sigma * math.sqrt(2 * math.pi))
            nats += 0.5 * math.log(2 * math.pi * math.e * sigma**2)
        assert float(log_prob[row]) == pytest.approx(math.log(density))
        assert float(entropy[row]) == pytest.approx(nats)


def _chances(output: torch.Tensor, choices: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """The probability of every action, axis by axis."""
    axes, first = [], 0
    for options in choices:
        weights = [math.exp(float(x)) for x in output[first : first + options]]
        axes.append([weight / sum(weights) for weight in weights])
        first += options
    actions = itertools.product(*(range(options) for options in choices))
    return {action: math.prod(p[i] for p, i in zip(axes, action, strict=True)) for action in actions}


def test_actions_with_axes_by_hand() -> None:
    """Over all actions: log-probabilities, entropy, divergence and mode."""
    choices = (3, 1, 4)
    kind, output, other = MultiCategorical(choices), 2 * _random(5, 8), 2 * _random(5, 8, seed=1)
    entropy, divergence = kind.entropy(output, NO_SCALE), kind.divergence(output, NO_SCALE, other, NO_SCALE)
    mode = kind.mode(output)
    for row in range(5):
        p, q = _chances(output[row], choices), _chances(other[row], choices)
        assert sum(p.values()) == pytest.approx(1)
        for action, chance in p.items():
            log_prob = kind.log_prob(output[row], NO_SCALE, torch.tensor(action))
            assert float(log_prob) == pytest.approx(math.log(chance))
        assert float(entropy[row]) == pytest.approx(-sum(x * math.log(x) for x in p.values()))
        assert float(divergence[row]) == pytest.approx(sum(p[a] * math.log(p[a] / q[a]) for a in p))
        assert tuple(mode[row].tolist()) == max(p, key=lambda action: p[action])


def test_actions_with_axes_are_drawn_as_often_as_they_should_be() -> None:
    choices, draws = (2, 3), 20_000
    output = _random(5)
    kind, generator = MultiCategorical(choices), torch.Generator().manual_seed(5)
    sample = kind.sample(output.expand(draws, 5), NO_SCALE, generator)
    assert sample.dtype == torch.int64
    chi_square = 0.0
    for action, chance in _chances(output, choices).items():
        count = int((sample == torch.tensor(action)).all(-1).sum())
        chi_square += (count - draws * chance) ** 2 / (draws * chance)
    assert chi_square < 15.09, "the 99 % quantile of chi-square with 5 degrees of freedom"


def test_categorical_samples_are_as_frequent_as_they_should_be() -> None:
    probabilities = torch.tensor([0.05, 0.15, 0.3, 0.5])
    draws = 20_000
    output = (probabilities.log() + 1.7).expand(draws, 4)
    sample = Categorical(4).sample(output, NO_SCALE, torch.Generator().manual_seed(5))
    assert sample.dtype == torch.int64
    counts = torch.bincount(sample, minlength=4)
    chi_square = float(((counts - draws * probabilities) ** 2 / (draws * probabilities)).sum())
    assert chi_square < 11.34, "the 99 % quantile of chi-square with 3 degrees of freedom"


def test_gaussian_samples_have_the_right_moments() -> None:
    draws = 20_000
    mean, log_scale = torch.tensor([1.0, -2.0]), torch.tensor([0.5, -1.0])
    sample = DiagonalGaussian(2).sample(mean.expand(draws, 2), log_scale, torch.Generator().manual_seed(5))
    standard_error = log_scale.exp() / math.sqrt(draws)
    assert ((sample.mean(0) - mean).abs() < 3 * standard_error).all()
    assert ((sample.std(0) / log_scale.exp() - 1).abs() < 3 / math.sqrt(2 * draws)).all()


def test_a_sample_follows_from_the_generator() -> None:
    for kind, output in ((Categorical(3), torch.zeros(50, 3)), (DiagonalGaussian(3), torch.zeros(50, 3))):
        scale = torch.zeros(3)
        first, again, other = (
            kind.sample(output, scale, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_the_mode_is_the_likeliest_action() -> None:
    assert Categorical(3).mode(torch.tensor([[0.0, 2.0, 1.0], [5.0, -1.0, 4.0]])).tolist() == [1, 0]
    mean = torch.tensor([[0.3, -0.4]])
    assert torch.equal(DiagonalGaussian(2).mode(mean), mean)


def test_the_space_chooses_the_distribution() -> None:
    assert for_space(gym.spaces.Discrete(4)) == Categorical(4)
    assert for_space(gym.spaces.Box(-1, 1, (3,))) == DiagonalGaussian(3)
    assert for_space(gym.spaces.MultiDiscrete([3, 2])) == MultiCategorical((3, 2))


@pytest.mark.parametrize(
    "space",
    [gym.spaces.Discrete(3, start=1), gym.spaces.Box(-1, 1, (2, 2)), gym.spaces.MultiDiscrete([[2, 2]])],
    ids=str,
)
def test_a_space_without_a_policy_is_refused(space: gym.Space[object]) -> None:
    with pytest.raises(TypeError, match="no policy for the action space"):
        for_space(space)


def test_divergences_by_hand() -> None:
    p, q = [0.5, 0.3, 0.2], [0.1, 0.6, 0.3]
    logits = [
        torch.tensor(chances, dtype=torch.float64).log() + shift for chances, shift in ((p, 1.0), (q, -2.0))
    ]
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert float(Categorical(3).divergence(logits[0], NO_SCALE, logits[1], NO_SCALE)) == pytest.approx(
        expected
    )
    (mean, sigma), (other_mean, other_sigma) = (0.3, 0.5), (-0.4, 1.5)
    nats = math.log(other_sigma / sigma) + (sigma**2 + (mean - other_mean) ** 2) / (2 * other_sigma**2) - 0.5
    numbers = [
        torch.tensor([x, x]).double() for x in (mean, math.log(sigma), other_mean, math.log(other_sigma))
    ]
    assert float(DiagonalGaussian(2).divergence(*numbers)) == pytest.approx(2 * nats)


@pytest.mark.parametrize("kind", [Categorical(3), DiagonalGaussian(3)])
def test_a_divergence_is_the_mean_log_ratio(kind: Categorical | DiagonalGaussian) -> None:
    draws, generator = 40_000, torch.Generator().manual_seed(3)
    output, other, scale, other_scale = _random(3), _random(3, seed=1), _random(3, seed=2), _random(3, seed=4)
    sample = kind.sample(output.expand(draws, 3), scale, generator)
    ratio = kind.log_prob(output.expand(draws, 3), scale, sample) - kind.log_prob(
        other.expand(draws, 3), other_scale, sample
    )
    error = ratio.std() / math.sqrt(draws)
    assert abs(ratio.mean() - kind.divergence(output, scale, other, other_scale)) < 3 * error
    assert float(kind.divergence(output, scale, output, scale)) == pytest.approx(0, abs=1e-12)
