"""A uniform sample of all rows that ever came, of bounded size.

Source: Vitter 1985, "Random sampling with a reservoir", algorithm R.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Reservoir:
    """Rows on a device; each that ever came is in it with the same probability."""

    def __init__(self, most: int, features: int, *, generator: torch.Generator, device: torch.device) -> None:
        """Begin empty.

        Args:
            most: rows that are kept.
            features: numbers of a row.
            generator: of the choice, on the CPU; its own from now on.
            device: where the rows are.
        """
        self._generator = generator
        self._rows_RF = torch.zeros((most, features), device=device)
        self._seen = 0

    def __len__(self) -> int:
        return min(self._seen, len(self._rows_RF))

    @property
    def rows(self) -> Tensor:
        """What is kept, [R, F]; a view."""
        return self._rows_RF[: len(self)]

    def take(self, row_PF: Tensor) -> None:
        """Take in rows, in their order."""
        most, number_P = len(self._rows_RF), np.arange(self._seen, self._seen + len(row_PF))
        drawn_P = torch.rand(len(row_PF), generator=self._generator, dtype=torch.float64).numpy()
        place_P = np.where(number_P < most, number_P, np.floor(drawn_P * (number_P + 1)).astype(np.int64))
        self._seen += len(row_PF)
        (entered,) = np.nonzero(place_P < most)
        # Of those that would lie in one place the last stays, as if they had come one by one.
        place_R, from_the_end = np.unique(place_P[entered][::-1], return_index=True)
        row_R = entered[::-1][from_the_end]
        device = self._rows_RF.device
        self._rows_RF[torch.from_numpy(place_R).to(device)] = row_PF[torch.from_numpy(row_R).to(device)]

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the rows, how many came, and the source of chance."""
        return {
            "rows": self.rows.cpu().numpy().copy(),
            "seen": self._seen,
            "generator": self._generator.get_state().numpy().copy(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` returned, with as many of the rows as there is room for."""
        rows_RF = torch.tensor(np.array(state["rows"]))[: len(self._rows_RF)]
        self._rows_RF[: len(rows_RF)] = rows_RF.to(self._rows_RF.device)
        # With another bound the sample begins with what there is.
        whole = len(rows_RF) == min(int(state["seen"]), len(self._rows_RF))
        self._seen = int(state["seen"]) if whole else len(rows_RF)
        self._generator.set_state(torch.from_numpy(np.array(state["generator"])))
