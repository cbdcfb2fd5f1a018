"""Virtual environments of peers: what they need does not fit what Handrail needs, so each has one of its own."""

import hashlib
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / ".tools" / "peers"


def python_of(requirements: Path, folder: Path = FOLDER) -> Path:
    """Return the Python of a peer's virtual environment, which is made where there is none yet; pip reports on stderr.

    Args:
        requirements: file with every version pinned; another content is another environment.
        folder: that holds the environments.

    Raises:
        subprocess.CalledProcessError: it could not be made.
    """
    digest = hashlib.blake2b(requirements.read_bytes(), digest_size=6).hexdigest()
    environment = folder / f"{requirements.stem}-{digest}"
    python, installed = environment / "bin" / "python", environment / ".installed"
    if not installed.exists():
        commands: tuple[list[str | Path], ...] = (
            [sys.executable, "-m", "venv", "--clear", environment],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements],
        )
        for command in commands:
            subprocess.run(command, check=True, stdout=sys.stderr)
        installed.touch()
    return python
