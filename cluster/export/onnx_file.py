"""ONNX: one file for the runtimes of many languages and devices."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.export.contract import BATCH
from cluster.export.file_format import METADATA, Answers, names, quiet, zeros
from hitl.errors import ConfigError
from policies.acting.deployment import Deployed

_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


class Onnx:
    """A graph of ONNX operators with its weights inside."""

    name = "onnx"
    ending = ".onnx"

    def require(self) -> None:
        """Refuse to begin without the libraries of the extra `export`.

        Raises:
            ConfigError: one is missing.
        """
        for library in _LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError as error:
                raise ConfigError(
                    f"--format onnx needs {library} ({error}); install it with "
                    "`pip install -c constraints.txt -e '.[export]'`, or take --format torchscript"
                ) from None

    def write(self, path: Path, policy: Deployed, example: tuple[Tensor, ...], metadata: str) -> None:
        """Export the policy and write it."""
        with quiet():
            program = torch.onnx.export(
                policy,
                example,
                dynamo=True,
                verbose=False,
                input_names=policy.inputs,
                output_names=policy.outputs,
                dynamic_shapes=tuple({0: BATCH} for _ in example),
            )
        assert program is not None
        for node in program.model.graph:
            # Stack traces with the paths of this machine.
            node.metadata_props.clear()
        program.model.metadata_props[METADATA] = metadata
        program.save(path, external_data=False)

    def load(self, path: Path) -> Answers:
        """Load a file."""
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        wanted = [port.name for port in session.get_inputs()]

        def answer(inputs: list[NDArray[Any]]) -> list[NDArray[np.generic]]:
            outputs: list[NDArray[np.generic]] = session.run(None, dict(zip(wanted, inputs, strict=True)))
            return outputs

        return answer

    def usage(self, path: Path, contract: Mapping[str, Any]) -> str:
        """Return a program that loads the file and asks it."""
        inputs = [f"{name} = {made}" for name, made in zeros(contract, "np").items()]
        fed = ", ".join(f'"{port["name"]}": {port["name"]}' for port in contract["inputs"])
        return "\n".join(
            [
                "import numpy as np",
                "import onnxruntime",
                f"session = onnxruntime.InferenceSession({str(path)!r})",
                *inputs,
                f"{names(contract['outputs'])} = session.run(None, {{{fed}}})",
            ]
        )
