"""TorchScript: one file for torch in Python and in C++."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.export.file_format import METADATA, Answers, names, quiet, zeros
from policies.acting.deployment import Deployed


class TorchScript:
    """A traced module; it needs torch alone, and can be moved to any device of torch's."""

    name = "torchscript"
    ending = ".pt"

    def require(self) -> None:
        """Nothing is needed beside torch."""

    def write(self, path: Path, policy: Deployed, example: tuple[Tensor, ...], metadata: str) -> None:
        """Trace the policy and write it."""
        with quiet(), torch.no_grad():
            # Traced and not scripted: its Python is more than TorchScript knows, and it has no branch on data.
            traced = torch.jit.trace(policy, example, check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, path, _extra_files={METADATA: metadata})

    def load(self, path: Path) -> Answers:
        """Load a file."""
        with quiet():
            loaded = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

        @torch.no_grad()
        def answer(inputs: list[NDArray[Any]]) -> list[NDArray[np.generic]]:
            return [output.numpy() for output in loaded(*map(torch.from_numpy, inputs))]

        return answer

    def usage(self, path: Path, contract: Mapping[str, Any]) -> str:
        """Return a program that loads the file and asks it."""
        inputs = zeros(contract, "torch")
        return "\n".join(
            [
                "import torch",
                f"policy = torch.jit.load({str(path)!r})",
                *(f"{name} = {made}" for name, made in inputs.items()),
                "with torch.inference_mode():",
                f"    {names(contract['outputs'])} = policy({', '.join(inputs)})",
            ]
        )
