"""The folder of a comparison: that of a run, which people teach in the same ways, and a few files more."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cluster.runs.folder import RunFolder, read_json, write_json
from hitl.errors import StorageError

if TYPE_CHECKING:
    from hitl.voting.schedules import ScheduleName

Begin = Literal["anywhere", "start"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPolicy:
    """A policy that is compared; its checkpoint lies in the comparison's folder, whatever becomes of the run's."""

    name: str
    """For people who read the result; teachers never see it."""
    run: str
    """Path of the folder of the run that it comes from."""
    checkpoint: str
    """Its name there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSettings:
    """What is compared and how, as `comparison.json` keeps it."""

    policies: tuple[ComparedPolicy, ...]
    steps: int | None
    """Length of a segment; None: whole episodes."""
    begin: Begin
    """anywhere: segments lie at the same random place of both episodes. start: both begin with their episode."""
    schedule: "ScheduleName"
    budget: int
    """Answers at most, skips counted."""
    confidence: float
    """Probability of a winner at which asking ends."""
    open_questions: int
    """That wait for teachers at once."""
    clips: bool | None
    """Whether segments are rendered; None: where the environment can, and people answer."""
    seed: int


class ComparisonFolder:
    """A comparison on disk."""

    def __init__(self, run: RunFolder) -> None:
        """Take the folder of the run as which it is known to the feedback service and to teachers."""
        self.run = run

    @property
    def settings_file(self) -> Path:
        """What is compared and how; it tells the folder of a comparison from one of a run that is trained."""
        return self.run.path / "comparison.json"

    @property
    def questions_file(self) -> Path:
        """Which policies each question is about, one JSON object a line: what nobody may know who answers."""
        return self.run.path / "questions.jsonl"

    @property
    def standings_file(self) -> Path:
        """What is known so far; in the end the run's summary holds the same."""
        return self.run.path / "standings.json"

    def policy(self, number: int) -> RunFolder:
        """Return the folder of a policy, with its run file and its one checkpoint."""
        return RunFolder(self.run.path / "policies" / str(number))

    @property
    def is_comparison(self) -> bool:
        """Whether there is a comparison in it."""
        return self.settings_file.is_file()

    def save_settings(self, settings: ComparisonSettings) -> None:
        """Write what is compared and how.

        Raises:
            StorageError: the file cannot be written.
        """
        write_json(self.settings_file, dataclasses.asdict(settings))

    def load_settings(self) -> ComparisonSettings:
        """Return what is compared and how.

        Raises:
            StorageError: the file is damaged or gone.
        """
        content = read_json(self.settings_file)
        try:
            policies = tuple(ComparedPolicy(**policy) for policy in (content or {}).pop("policies"))
            return ComparisonSettings(policies=policies, **(content or {}))
        except (KeyError, TypeError):
            raise StorageError(
                f"{self.settings_file} is damaged; start another comparison with `handrail compare RUN RUN`"
            ) from None

    def add_question(self, line: dict[str, Any]) -> None:
        """Keep which policies a question is about, durably.

        Raises:
            StorageError: the file cannot be written.
        """
        try:
            with self.questions_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"{self.questions_file} cannot be written ({error.strerror})") from None

    def questions(self) -> list[dict[str, Any]]:
        """Return all questions in order; a last line that was cut off while it was written was never asked.

        Raises:
            StorageError: another line is damaged.
        """
        if not self.questions_file.exists():
            return []
        lines = self.questions_file.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            # Or the next line would be glued to it.
            with self.questions_file.open("r+", encoding="utf-8") as file:
                file.truncate(sum(len(line.encode()) for line in whole))
        try:
            return [json.loads(line) for line in whole]
        except ValueError:
            raise StorageError(f"{self.questions_file} is damaged; start another comparison") from None
