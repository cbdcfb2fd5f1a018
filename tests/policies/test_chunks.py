import pytest
import torch
from torch import Tensor

from policies import chunks
from policies.chunks import in_chunks


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 8, 11])
def test_rows_go_through_in_parts_and_come_back_in_order(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS", 4)
    sizes = []

    def product(left_P: Tensor, right_P: Tensor) -> Tensor:
        sizes.append(len(left_P))
        return left_P * right_P[:, 0]

    left_P, right_P = torch.arange(rows), torch.arange(rows)[:, None] + 1
    assert in_chunks(product, left_P, right_P).tolist() == [n * (n + 1) for n in range(rows)]
    assert max(sizes) <= 4
    assert sum(sizes) == rows
