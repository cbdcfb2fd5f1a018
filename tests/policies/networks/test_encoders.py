from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from policies.networks.convolutional import Convolutional, set_precision
from policies.networks.encoders import make_encoder
from policies.spaces import flat_dtype, leaves


def _image(*shape: int, dtype: Any = np.uint8) -> spaces.Box:
    return spaces.Box(0, 255 if dtype == np.uint8 else 1, shape, dtype)


def _shown(space: gym.Space[Any], count: int, seed: int = 0) -> tuple[list[Any], Tensor]:
    """Observations, and the same laid flat."""
    space.seed(seed)
    samples = [space.sample() for _ in range(count)]
    flat = np.stack([spaces.flatten(space, sample) for sample in samples])
    return samples, torch.from_numpy(flat.astype(flat_dtype(space)))


def _cnn(space: spaces.Box, **settings: Any) -> Convolutional:
    torch.manual_seed(0)
    return Convolutional(leaves(space)[0], **settings)


@torch.no_grad()
def _by_hand(network: Convolutional, image: Any) -> list[float]:
    """Features of one image with channels first, number by number."""
    hidden = [[[float(x) for x in row] for row in channel] for channel in image]
    for layer in network.convolutions:
        if not isinstance(layer, nn.Conv2d):
            continue
        weight, bias, stride, kernel = layer.weight, layer.bias, layer.stride[0], layer.kernel_size[0]
        assert bias is not None
        rows = range(0, len(hidden[0]) - kernel + 1, stride)
        columns = range(0, len(hidden[0][0]) - kernel + 1, stride)
        before = torch.tensor(hidden, dtype=torch.float64)
        hidden = [
            [
                [
                    max(
                        0.0,
                        float((weight[out] * before[:, i : i + kernel, j : j + kernel]).sum() + bias[out]),
                    )
                    for j in columns
                ]
                for i in rows
            ]
            for out in range(len(bias))
        ]
    flat = torch.tensor([x for channel in hidden for row in channel for x in row], dtype=torch.float64)
    linear = network.linear[0]
    return [max(0.0, float(w @ flat + b)) for w, b in zip(linear.weight, linear.bias, strict=True)]


def test_convolutions_by_hand() -> None:
    space = _image(7, 9, 2)
    network = _cnn(space, filters=((3, 3, 2), (4, 2, 1)), features=5).double()
    samples, flat = _shown(space, 3)
    for sample, features in zip(samples, network(flat), strict=True):
        assert features.tolist() == pytest.approx(_by_hand(network, np.moveaxis(sample, -1, 0) / 255))
        assert max(features.tolist()) > 0


def test_channels_may_come_first_or_last() -> None:
    last, first = _image(40, 48, 3), _image(3, 40, 48)
    samples, flat = _shown(last, 2)
    moved = torch.from_numpy(np.stack([np.moveaxis(sample, -1, 0).ravel() for sample in samples]))
    features = _cnn(last)(flat)
    torch.testing.assert_close(features, _cnn(first)(moved))
    assert not torch.allclose(features[0], features[1])


def test_in_bfloat16_features_and_gradients_are_nearly_the_same() -> None:
    space = _image(40, 40, 3)
    network = _cnn(space)
    _, observation = _shown(space, 8)

    def features_and_gradients() -> list[Tensor]:
        features = network(observation)
        gradients = torch.autograd.grad(features.square().mean(), list(network.parameters()))
        return [features.detach(), *gradients]

    exact = features_and_gradients()
    set_precision(network, "bfloat16")
    for rough, fine in zip(features_and_gradients(), exact, strict=True):
        assert rough.dtype == fine.dtype == torch.float32
        assert 1e-4 < float((rough - fine).norm() / fine.norm()) < 3e-2
    set_precision(network, "float32")
    torch.testing.assert_close(features_and_gradients(), exact, rtol=0, atol=0)


def test_bytes_are_scaled_and_other_numbers_are_not() -> None:
    samples, flat = _shown(_image(8, 8, 1), 2)
    scaled = torch.from_numpy(np.stack([sample.ravel() for sample in samples]) / np.float32(255))
    features = _cnn(_image(8, 8, 1))(flat)
    torch.testing.assert_close(features, _cnn(_image(8, 8, 1, dtype=np.float32))(scaled))
    assert features.dtype == torch.float32


def test_the_nature_network_is_the_nature_network() -> None:
    network = _cnn(_image(84, 84, 4))
    convolutions = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
    shapes = [(c.out_channels, c.kernel_size, c.stride) for c in convolutions]
    assert shapes == [(32, (8, 8), (4, 4)), (64, (4, 4), (2, 2)), (64, (3, 3), (1, 1))]
    assert network.linear[0].weight.shape == (512, 7 * 7 * 64)


@pytest.mark.parametrize("shape", [(36, 36, 1), (35, 84, 3), (7, 7, 3), (3, 5, 5), (1, 1, 1)], ids=str)
def test_an_image_of_any_size_has_a_network(shape: tuple[int, ...]) -> None:
    space = _image(*shape)
    _, flat = _shown(space, 6)
    assert _cnn(space, features=9)(flat.view(2, 3, -1)).shape == (2, 3, 9)


def test_weights_begin_orthogonal_and_biases_at_zero() -> None:
    network = _cnn(_image(84, 84, 4), features=16)
    for layer in [*network.convolutions, *network.linear]:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.flatten(1)
            torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(len(weight)), atol=1e-4, rtol=0)
            assert layer.bias is not None
            assert not layer.bias.any()


def test_each_part_of_a_dict_has_its_encoder() -> None:
    space = spaces.Dict(
        choice=spaces.Discrete(3),
        image=_image(8, 8, 1),
        inside=spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Box(0, 255, (4,), np.uint8)]),
    )
    torch.manual_seed(0)
    (encoder,), size = make_encoder(space, vector_features=5, image_features=6, encoders={"inside/1": "flat"})
    assert size == 3 + 6 + 5 + 4
    samples, flat = _shown(space, 4)
    assert isinstance(encoder.encoders, nn.ModuleList)
    _, cnn, mlp, _ = encoder.encoders
    for sample, features in zip(samples, encoder(flat), strict=True):
        one_hot = torch.eye(3)[int(sample["choice"])]
        torch.testing.assert_close(features[:3], one_hot)
        torch.testing.assert_close(features[3:9], cnn(torch.from_numpy(sample["image"].ravel())))
        vector, screen = (torch.from_numpy(part) for part in sample["inside"])
        linear = mlp.layers[1]
        torch.testing.assert_close(features[9:14], torch.tanh(linear.weight @ vector + linear.bias))
        torch.testing.assert_close(features[14:], screen / 255)
    torch.testing.assert_close(encoder(flat.view(2, 2, -1)).view(4, -1), encoder(flat))


def test_a_filter_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"convolution 2 has a kernel of 4, but an image of .* is 3 by 3"):
        _cnn(_image(8, 8, 1), filters=((4, 3, 2), (4, 4, 1)))


def test_what_is_no_image_has_no_convolutions() -> None:
    with pytest.raises(TypeError, match="cnn needs a Box with three axes"):
        make_encoder(spaces.Box(-1, 1, (4,)), encoder="cnn")
