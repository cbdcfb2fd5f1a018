"""The process of a comparison: plays episodes, asks people which is better, and counts what they say.

`python -m cluster.comparison.process FOLDER`, with HANDRAIL_SERVICE (host:port) and HANDRAIL_TOKEN (role cluster) in
the environment. Its exit code says how it ended; see `cluster.cli.supervision.supervisor.DriverCode`. What teachers get
to know says nothing of whose a segment is: all have one source and one policy version, and are numbered as they are
shown.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from cluster.cli.supervision.supervisor import DriverCode
from cluster.comparison.asked import AskedPair, Ballots, in_order
from cluster.comparison.clips import Clips
from cluster.comparison.folder import ComparisonFolder
from cluster.comparison.player import Player
from cluster.comparison.report import write_comparison_report
from cluster.comparison.standings import Ending, to_json
from cluster.environments.making import make, task_of
from cluster.feedback.journal_follower import JournalFollower
from cluster.feedback.service import FeedbackService
from cluster.loop.evaluation import Judged, load_judged
from cluster.loop.learning.saved_policy import load_saved_policy
from cluster.one_life import live
from cluster.runs import checkpoints
from cluster.runs.folder import RunFolder, write_json
from cluster.runs.loading import load_run
from cluster.runs.progress import Phase, ProgressRow, read_status
from hitl.client.training import TrainingClient
from hitl.errors import ConfigError, StorageError, Unavailable
from hitl.events import PairQuestion
from hitl.voting.posterior import standings
from hitl.voting.schedules import SCHEDULES
from policies.threads import use_threads

_LOOK_SECONDS = 0.2


class ComparisonProcess:
    """One life of a comparison."""

    def __init__(self, folder: ComparisonFolder, address: str, token: str) -> None:
        """Load the policies, open the run, and take up the answers of earlier lives."""
        self._folder, self._settings = folder, folder.load_settings()
        self._config = load_run(folder.run.run_file)
        before = read_status(folder.run)
        self._started = time.monotonic() - (before.wall_seconds if before else 0.0)
        self._steps_before = before.env_steps if before else 0
        self._stopping = threading.Event()
        self._schedule = SCHEDULES[self._settings.schedule]
        environment = self._config.environment
        self._player = Player(environment, [self._load(n) for n in range(len(self._settings.policies))])
        self._clips = Clips.open(environment, self._config.stages.pictures, wanted=self._settings.clips)
        self._ballots = Ballots(
            len(self._settings.policies), [AskedPair(**line) for line in folder.questions()]
        )
        self._client = TrainingClient(address, token)
        service = FeedbackService(address=address, token=token)
        env = make(environment)
        self._run, _ = service.open_task(self._client, folder.run.run_id, task_of(environment, env))
        env.close()  # type: ignore[no-untyped-call]
        self._news = threading.Event()
        self._journal = JournalFollower(self._client, self._run.run_id, news=self._news)
        self._read_all()
        self._withdraw_open()

    def request_stop(self, *_: object) -> None:
        """End soon; all that was said is in the journal."""
        self._stopping.set()
        self._news.set()

    def run(self) -> int:
        """Ask until the winner is known or the budget is spent; returns the exit code."""
        ending = self._count()
        while not ending and not self._stopping.is_set():
            ending = self._ask_until_over()
        if not ending:
            return DriverCode.STOPPED
        write_comparison_report(self._folder)
        self._tell("done")
        write_json(self._folder.run.summary_file, self._summary(ending))
        return DriverCode.DONE

    def _ask_until_over(self) -> Ending | None:
        """Ask and count; what was said while the last questions were taken back counts as well, and may change it."""
        ending: Ending | None = None
        while not ending and not self._stopping.is_set():
            if not self._ask_next():
                self._news.wait(_LOOK_SECONDS)
            if self._news.is_set():
                self._news.clear()
                ending = self._count()
        self._withdraw_open()
        self._read_all()
        return self._count()

    def close(self) -> None:
        """End what was started."""
        self._client.close()
        self._player.close()

    def _load(self, number: int) -> Judged:
        mine, name = self._folder.policy(number), self._settings.policies[number].name
        checkpoint = checkpoints.newest(mine.checkpoints)
        if checkpoint is None:
            raise StorageError(f"{mine.checkpoints} is empty; start another comparison")
        saved = load_saved_policy(checkpoint)
        env = make(self._config.environment)
        spaces = env.observation_space, env.action_space
        env.close()  # type: ignore[no-untyped-call]
        if (saved.observation_space, saved.action_space) != spaces:
            raise ConfigError(
                f"{name} was trained on observations {saved.observation_space} and actions {saved.action_space}, but "
                f"its environment {self._config.environment.id} has {spaces[0]} and {spaces[1]} now; compare policies "
                "that were trained on it as it is"
            )
        return load_judged(checkpoint, load_run(mine.run_file))

    def _read_all(self) -> None:
        """Take note of everything that is in the journal now."""
        if not self._journal.wait_for(self._client.get_run(self._run.run_id).journal_end):
            raise Unavailable("the answers cannot be read from the service; try again")
        for entry, _ in self._journal.take():
            self._ballots.take(entry)

    def _withdraw_open(self) -> None:
        """Take back what nobody has answered: a later life asks what is worth asking then."""
        waiting = self._ballots.open
        self._client.withdraw(self._run, waiting)
        self._ballots.withdraw(waiting)

    def _count(self) -> Ending | None:
        """Count what was said, tell how it stands, and return why it is over, if it is."""
        for entry, _ in self._journal.take():
            self._ballots.take(entry)
        settings, self._tally = self._settings, self._ballots.tally()
        known = standings(self._tally.wins_IJ, seed=settings.seed)
        self._found = to_json(
            [policy.name for policy in settings.policies],
            self._tally,
            known,
            budget=settings.budget,
            confidence=settings.confidence,
            asked=len(self._ballots),
        )
        write_json(self._folder.standings_file, self._found)
        self._tell("asking")
        if known.copeland.chance_I.max() >= settings.confidence:
            return "known"
        return "budget" if self._tally.said >= settings.budget else None

    def _ask_next(self) -> bool:
        """Ask one more question, if that is due."""
        settings, waiting = self._settings, len(self._ballots.open)
        left = settings.budget - self._tally.said - waiting
        if waiting >= settings.open_questions or left <= 0:
            return False
        # What follows from the seed are situations; whom it is about also follows from what people have said.
        rng = np.random.default_rng([settings.seed, len(self._ballots)])
        seed, place = int(rng.integers(2**31)), float(rng.random())
        shown_IJ = self._ballots.shown_first_IJ()
        pair = self._schedule(self._tally.wins_IJ, shown_IJ + shown_IJ.T, rng)
        first, second = in_order(*pair, shown_IJ, rng)
        asked = AskedPair(
            question_id=f"{self._run.run_id}-{len(self._ballots):05d}",
            first=first,
            second=second,
            seed=seed,
            place=place if settings.begin == "anywhere" else 0.0,
        )
        # First, so that no answer is ever about nobody knows whom.
        self._folder.add_question(asked.to_json())
        self._publish(asked, number=len(self._ballots))
        self._ballots.add(asked)
        return True

    def _publish(self, asked: AskedPair, *, number: int) -> None:
        pieces = [
            self._player.cut(
                self._player.play(policy, seed=asked.seed, number=2 * number + place),
                steps=self._settings.steps,
                place=asked.place,
                task_id=self._run.task_id,
                run_id=self._run.run_id,
            )
            for place, policy in enumerate((asked.first, asked.second))
        ]
        first, second = (piece.segment.segment_id for piece in pieces)
        clips = self._clips.of(pieces) if self._clips else {}
        self._client.publish_segments(self._run, [(p.segment, p.true_rewards) for p in pieces], clips=clips)
        question = PairQuestion(
            question_id=asked.question_id,
            run_id=self._run.run_id,
            first_segment_id=first,
            second_segment_id=second,
        )
        self._client.ask(self._run, [question])

    def _tell(self, phase: Phase) -> None:
        """Write the row of progress that all runs have."""
        row = ProgressRow(
            time=time.time(),
            wall_seconds=time.monotonic() - self._started,
            phase=phase,
            env_steps=self._steps_before + self._player.steps,
            comparisons=self._tally.said,
            asked=len(self._ballots),
            open_questions=len(self._ballots.open),
        )
        write_json(self._folder.run.status_file, row.to_json())

    def _summary(self, ending: Ending) -> dict[str, Any]:
        return {
            "run_id": self._folder.run.run_id,
            "environment": self._config.environment.id,
            "env_steps": self._steps_before + self._player.steps,
            "ending": ending,
            **self._found,
        }


def main(argv: list[str] | None = None) -> int:
    """Run one life of the comparison in the given folder; returns the exit code."""
    (path,) = sys.argv[1:] if argv is None else argv
    use_threads(1)
    return live(
        lambda: ComparisonProcess(
            ComparisonFolder(RunFolder(Path(path).absolute())),
            os.environ["HANDRAIL_SERVICE"],
            os.environ["HANDRAIL_TOKEN"],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
