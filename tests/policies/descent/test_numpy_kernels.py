"""Every kernel in NumPy against torch's own, and the memory that results share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from policies.descent import numpy_program
from policies.descent.numpy_kernels import LOWERINGS, UFUNCS
from policies.descent.numpy_program import as_numpy
from policies.descent.simplification import simplify

ROWS = 7
_aten = torch.ops.aten


@pytest.fixture(autouse=True)
def _dirty_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """New memory holds NaN and -1: whoever reads what nobody wrote is seen."""
    clean = numpy_program._aligned

    def dirty(*arguments: Any) -> Any:
        memory = clean(*arguments)
        memory.reshape(-1).view("uint8").fill(255)
        return memory

    monkeypatch.setattr(numpy_program, "_aligned", dirty)


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _graph(function: Callable[..., Any], staying: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> Any:
    module = make_fx(function)(*(x.clone() for x in (*staying, *given)))
    simplify(module, dict(enumerate(staying)))
    return module


def _program(function: Callable[..., Any], staying: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> Any:
    return as_numpy(_graph(function, staying, given), staying, given)


def _gradient(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def gradient(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = function(x)
            return torch.autograd.grad((y * torch.linspace(-1, 2, y.numel()).view(y.shape)).sum(), x)[0]

    return gradient


OF_A_MATRIX: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "addmm": lambda x: torch.addmm(x[0], x, x.t().mm(x)),
    "a column, some rows": lambda x: x.exp().tanh()[:, 1].sum() + x.exp().tanh().exp()[1:3].tanh(),
    "add, a number": lambda x: _aten.add.Scalar(_aten.sub.Scalar(_aten.mul.Scalar(x, 2), 1), 3),
    "comparisons": lambda x: torch.stack(
        [x <= 0.1, x >= 0.5, x < x.mean(), x <= x.sum(0), x > -x, x >= x.sum(), x.eq(0.5)]
    ),
    "in place": lambda x: x.clone().add_(x).mul_(x).div_(x + 9).sub_(x).sqrt_(),
    "logical and, in place": lambda x: (x > 0).logical_and_(x < 1),
    "copy, in place": lambda x: x.clone().copy_(x.double() * 2),
    "and": lambda x: (x > 0) & (x < 1),
    "or": lambda x: (x > 1) | (x < -1),
    "not": lambda x: ~(x > 0),
    "logical": lambda x: torch.logical_or(torch.logical_and(x > 0, x < 1), torch.logical_not(x >= -1)),
    "add": lambda x: x + 2.5 + x,
    "amax": lambda x: x.amax(-1, keepdim=True),
    "amax over rows": lambda x: x.amax(0),
    "bmm": lambda x: torch.bmm(x.expand(2, *x.shape), x.t().expand(2, *x.t().shape)),
    "baddbmm": lambda x: torch.baddbmm(x[:1, :1], x.expand(2, *x.shape), x.t().expand(2, *x.t().shape)),
    "cat": lambda x: torch.cat([x.flatten(), x[0]]),
    "cat of rows": lambda x: torch.cat([x, 2 * x], 0),
    "cat with nothing": lambda x: torch.cat([x.new_zeros(0), x.flatten()]),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "clamp from below": lambda x: x.clamp(min=-0.5) + x.clamp_min(0.1),
    "clamp from above": lambda x: x.clamp(max=0.5) + x.clamp_max(-0.1),
    "clamp by tensors": lambda x: x.clamp(x.mean(), x.mean() + 0.5),
    "copies": lambda x: x.double().float() + x.clone(),
    "division": lambda x: x / 3 + 1 / (x.square() + 1) + x / (x.abs() + 1),
    "equal": lambda x: (x == x.amax(-1, keepdim=True)) & (x != 0),
    "exp, log": lambda x: (x.exp() + 1).log() + x.abs().log1p(),
    "gather": lambda x: x.gather(-1, (x[:, :1] > 0).long()),
    "gather, more axes": lambda x: torch.stack([x, 2 * x, -x]).gather(
        2, (x[:, :1] > 0).long().expand(3, -1, -1)
    ),
    "logaddexp": lambda x: torch.logaddexp(x, 1 - 30 * x),
    "log_softmax": lambda x: x.log_softmax(-1),
    "masked_fill": lambda x: x.clone().masked_fill_(x > 0, 7.0),
    "mean": lambda x: x.mean() + x.mean(0) + x.mean(-1, keepdim=True),
    "maximum, minimum": lambda x: torch.maximum(x, 0.3 * x) - torch.minimum(x, x.t().t() * 2),
    "mm": lambda x: x.mm(x.t()),
    "outer product": lambda x: x[:, :1].mm(x[:1]),
    "neg, sub": lambda x: -x - 2 * x - 0.5,
    "norm": lambda x: torch.linalg.vector_norm(x.flatten()),
    "powers": lambda x: x**2 + x**3 + 0.7**x + x.abs() ** 0.5,
    "relu": torch.relu,
    "reciprocal": lambda x: x.abs().add(1).reciprocal() + (x.square() + 1).rsqrt() + x.abs().sqrt(),
    "rsub": lambda x: 1 - x,
    "scatter_add": lambda x: x.scatter_add(-1, (x[:, :1] > 0).long(), x[:, 1:2]),
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "stack": lambda x: torch.stack([x, x + 1], 1),
    "sum": lambda x: x.sum() + x.sum(0) + x.sum(-1, keepdim=True) + x.sum(-1).sum(),
    "count": lambda x: (x > 0).sum(-1) + (x > 0).sum(0).sum(),
    "sum of a column": lambda x: x[:, :1].sum(0),
    "sum of all axes": lambda x: x.sum((0, 1)),
    "tanh": torch.tanh,
    "whole numbers beside others": lambda x: torch.stack(
        [(4 * x).long() * 0.5, (4 * x).long() < 1.5, (4 * x).long() / 3, (x > 0) * 2, (x > 0) * 0.5]
    ),
    "views": lambda x: x.view(-1)[2:].unsqueeze(0).transpose(0, 1).expand(-1, 3) * x.split(3)[0].sum(),
    "where": lambda x: torch.where(x > 0, x, 0.5) + torch.where(x > 1, 0.0, x) + torch.where(x > 1, x, -x),
}
GRADIENTS = [
    "a column, some rows",
    "gather",
    "gather, more axes",
    "logaddexp",
    "log_softmax",
    "tanh",
    "relu",
    "clamp",
    "mean",
    "mm",
    "cat",
    "where",
    "powers",
    "sum",
]
GRADIENTS += ["maximum, minimum", "exp, log", "abs", "sigmoid", "norm", "outer product", "amax"]


@pytest.mark.parametrize("columns", [2, 3, 40])
@pytest.mark.parametrize("name", OF_A_MATRIX)
def test_values_are_torchs(name: str, columns: int) -> None:
    function = OF_A_MATRIX[name]
    program = _program(function, (), (_numbers(ROWS, columns),))
    assert program is not None
    for seed in (1, 2):
        x = _numbers(ROWS, columns, seed=seed)
        torch.testing.assert_close(program(x), function(x), rtol=2e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_torchs(name: str) -> None:
    gradient = _gradient(OF_A_MATRIX[name])
    program = _program(gradient, (), (_numbers(ROWS, 3),))
    assert program is not None
    x = _numbers(ROWS, 3, seed=1)
    torch.testing.assert_close(program(x), gradient(x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_other_numbers(dtype: torch.dtype) -> None:
    def function(x: Tensor) -> Tensor:
        return (x + 2) * x - x.sum(0) + x.clamp(-1, 1)

    x = torch.arange(-6, 6).view(4, 3).to(dtype)
    answer = _program(function, (), (torch.zeros_like(x),))(x)
    assert answer.dtype == dtype
    assert torch.equal(answer, function(x))


def test_what_stays_is_read_and_changed_where_it_lies() -> None:
    def function(weights: Tensor, mean: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        mean.lerp_(x.mean(0), 0.25)
        weights.mul_(0.5).addcmul_(x.sum(0), mean, value=2.0).sub_(mean).add_(1.0)
        return weights.sum(), mean.clone()

    ours, theirs = (torch.full((3,), 40.0), torch.ones(3)), (torch.full((3,), 40.0), torch.ones(3))
    program = _program(function, ours, (_numbers(ROWS, 3),))
    assert ours[0].tolist() == [40.0, 40.0, 40.0]  # Preparing changes nothing.
    for seed in (1, 2):
        x = _numbers(ROWS, 3, seed=seed)
        torch.testing.assert_close(program(x), function(*theirs, x))
    torch.testing.assert_close(ours, theirs)
    ours[0].fill_(2.0)
    theirs[0].fill_(2.0)
    torch.testing.assert_close(program(x), function(*theirs, x))


def test_what_is_read_later_is_not_written_over() -> None:
    """Many results of one size, whose memory is given out again and again."""

    def function(x: Tensor) -> Tensor:
        kept = [x * number for number in range(1, 5)]
        view = kept[0].t()
        for number in range(5):
            x = (x + number).tanh() * kept[number % 4]
        return x + view.t() + kept[3]

    x = _numbers(ROWS, 4)
    program = _program(function, (), (x,))
    torch.testing.assert_close(program(x), function(x))
    calls = numpy_program._Program(_graph(function, (), (x,)), (), (x,))._calls
    arrays = {array.__array_interface__["data"][0] for call in calls for array in call.args[-1:]}
    assert len(arrays) <= 7


def test_results_are_the_callers() -> None:
    program = _program(lambda x: (x + 1, x.sum()), (), (_numbers(2, 2),))
    first, _ = program(torch.ones(2, 2))
    program(torch.zeros(2, 2))
    assert torch.equal(first, torch.full((2, 2), 2.0))


def test_a_kernel_without_a_counterpart() -> None:
    assert _program(lambda x: x.cumsum(0), (), (_numbers(2, 2),)) is None
    assert _program(lambda x: x.half() + 1, (), (_numbers(2, 2),)) is None
    assert _program(lambda x: x.log_softmax(0), (), (_numbers(2, 2),)) is None


def test_every_kernel_of_the_table_is_tried_here() -> None:
    tried = {_aten.lerp_.Scalar, _aten.addcmul_.default}  # By the test of what stays.
    for function in (*OF_A_MATRIX.values(), *(_gradient(OF_A_MATRIX[name]) for name in GRADIENTS)):
        tried |= {node.target for node in make_fx(function)(_numbers(ROWS, 3)).graph.nodes}
    assert {*LOWERINGS, *UFUNCS} <= tried
