"""A simplified graph does what the whole one did, with fewer kernels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from policies.descent.simplification import simplify

X = torch.linspace(-1.0, 2.0, 6).view(2, 3)
_aten = torch.ops.aten


def _simplified(
    function: Callable[..., Any], *examples: Tensor, kept: dict[int, Tensor] | None = None
) -> Any:
    module = make_fx(function)(*(example.clone() for example in examples))
    simplify(module, kept or {})
    return module


def _kernels(module: fx.GraphModule) -> list[Any]:
    return [node.target for node in module.graph.nodes if node.op == "call_function"]


def test_what_was_done_is_not_done_again() -> None:
    module = _simplified(lambda x: x.exp() + x.exp() * x.exp(), X)
    assert _kernels(module).count(_aten.exp.default) == 1
    torch.testing.assert_close(module(X), X.exp() + X.exp() ** 2)


def test_kernels_with_other_numbers_are_others() -> None:
    whole = torch.arange(3)
    module = _simplified(lambda x: (x + 1, x + 1.0, x + 2), whole)
    assert [number.dtype for number in module(whole)] == [torch.int64, torch.float32, torch.int64]
    assert module(whole)[2].tolist() == [2, 3, 4]


def test_the_first_power_is_struck_out_where_it_changes_nothing() -> None:
    assert _kernels(_simplified(lambda x: x**1.0, X)) == []
    whole = torch.arange(3)
    assert _simplified(lambda x: x**1.0, whole)(whole).dtype == torch.float32


def test_after_a_change_in_place_it_is_done_again() -> None:
    def function(x: Tensor) -> Tensor:
        view = x.view(-1)
        before = view.exp()
        x.add_(1.0)
        return before + view.exp()

    module = _simplified(function, X)
    torch.testing.assert_close(module(X.clone()), function(X.clone()))


def test_what_is_changed_is_nobody_elses() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        one, other = x + 1, x + 1
        return one.mul_(2.0), other

    module = _simplified(function, X)
    torch.testing.assert_close(module(X), function(X))


def test_constants_are_computed_in_advance() -> None:
    module = _simplified(lambda x: x * (torch.ones_like(x) * 0.5 + x.new_zeros(3)), X)
    assert _kernels(module) == [_aten.mul.Tensor]
    torch.testing.assert_close(module(3 * X), 1.5 * X)


def test_a_constant_that_is_changed_begins_anew_each_time() -> None:
    module = _simplified(lambda x: torch.zeros(3).add_(x.sum(0)), X)
    for _ in range(2):
        torch.testing.assert_close(module(X), X.sum(0))


def test_draws_are_drawn_anew() -> None:
    module = _simplified(lambda x: (x + torch.rand(3)) - torch.rand(3), X)
    assert not torch.equal(module(X), module(X))
    assert not torch.equal(module(X), X)


def test_views_of_what_is_kept_are_taken_in_advance() -> None:
    kept = X.clone()
    module = _simplified(lambda w, x: x @ w.t() + w.view(-1)[0], X, X, kept={0: kept})
    assert _kernels(module) == [_aten.mm.default, _aten.add.Tensor]
    kept.mul_(2.0)
    torch.testing.assert_close(module(kept, X), X @ kept.t() + kept[0, 0])


def test_a_value_of_what_is_kept_is_read_each_time() -> None:
    kept = X.clone()
    module = _simplified(lambda w, x: x + w.sum(), X, X, kept={0: kept})
    kept.mul_(2.0)
    torch.testing.assert_close(module(kept, X), X + kept.sum())


def test_kernels_that_do_nothing_go() -> None:
    module = _simplified(lambda x: x.t().t().view(2, 3).expand(2, 3).detach() ** 1 + 0, X)
    assert _kernels(module) == [_aten.add.Tensor]
