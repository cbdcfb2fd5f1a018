"""Check that the committed code of hitl/v1 is what its protos generate: `python -m tests.check_protos`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_GENERATED = ("*_pb2.py", "*_pb2_grpc.py", "*.pyi")


def generate(root: Path, target: Path) -> None:
    """Generate the code of root/hitl/v1/*.proto below `target`, as `make protos` does."""
    protos = sorted(path.relative_to(root).as_posix() for path in root.glob("hitl/v1/*.proto"))
    services = [path for path in protos if "\nservice " in (root / path).read_text()]
    # The plugins lie beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for files, plugins in ((protos, ("python", "mypy")), (services, ("grpc_python", "mypy_grpc"))):
        outputs = [f"--{plugin}_out={target}" for plugin in plugins]
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *outputs, *files],
            check=True,
            cwd=root,
            env={**os.environ, "PATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )


def differences(root: Path) -> list[str]:
    """Return the generated files that are missing, outdated or left over, relative to `root`."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        generate(root, target)
        fresh, committed = _contents(target), _contents(root)
    return sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))


def _contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for pattern in _GENERATED
        for path in (root / "hitl" / "v1").glob(pattern)
    }


def main() -> int:
    try:
        outdated = differences(_ROOT)
    except subprocess.CalledProcessError as error:
        print(f"error: hitl/v1/*.proto cannot be compiled:\n{error.stderr}", file=sys.stderr)
        return 1
    if outdated:
        print(
            f"error: {', '.join(outdated)} differ from what hitl/v1/*.proto generate; "
            "run `make protos` and commit the result",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
