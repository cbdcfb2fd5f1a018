"""Tells the feedback service how far the run is, in a thread: the loop never waits for it.

The service is how a version number is never used twice: a driver that comes back begins above the highest one that the
service has heard of, by more than a driver can run ahead of this thread.
"""

import logging
import threading

from hitl.client.training import TrainingClient
from hitl.errors import RequestError, StaleEpoch
from hitl.events import Progress, Run

logger = logging.getLogger(__name__)

VERSION_MARGIN = 1000
"""Policy versions skipped by a driver that comes back."""
_PERIOD_SECONDS = 0.5


class ProgressReporter:
    """Reports the newest progress, and notices when a newer driver has taken over."""

    def __init__(self, client: TrainingClient, run: Run) -> None:
        self._client, self._run = client, run
        self._newest = Progress()
        self._reported = run.progress.policy_version
        self._ended = threading.Event()
        self.refused = False
        """A newer driver has opened this run."""
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
        self._thread.start()

    def tell(self, progress: Progress) -> None:
        """Note the newest progress; it is sent soon."""
        self._newest = progress

    @property
    def far_behind(self) -> bool:
        """Whether so many versions are unreported that numbers could repeat after a crash."""
        return self._newest.policy_version - self._reported >= VERSION_MARGIN

    def close(self) -> None:
        """Send the last progress and end."""
        self._ended.set()
        self._thread.join(timeout=5)

    def _work(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        newest = self._newest
        try:
            self._client.report_progress(self._run, newest)
            self._reported = max(self._reported, newest.policy_version)
        except StaleEpoch:
            self.refused = True
        except RequestError as error:
            logger.warning("progress cannot be reported: %s", error)
