"""Follows a run's journal in a thread: entries with the segments that they judge, in order, each once."""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence

from hitl.client.training import TrainingClient
from hitl.errors import DeadlineExceeded, RequestError, Unavailable
from hitl.events import JournalEntry, Run, Segment

logger = logging.getLogger(__name__)

Read = tuple[JournalEntry, Sequence[Segment]]
"""An entry of a journal with the segments that it is about."""

_RETRY_SECONDS = 1.0
_SEGMENTS_KEPT = 2_000


class JournalFollower:
    """Keeps what it has read until `take` fetches it."""

    def __init__(self, client: TrainingClient, run_id: str, *, news: threading.Event) -> None:
        """Start following from the first entry.

        Args:
            client: of the training service.
            run_id: whose journal.
            news: set whenever there is something to take.
        """
        self._client = client
        self._run_id = run_id
        self._news = news
        self._read: deque[Read] = deque()
        self._known: dict[str, Segment] = {}
        """The newest ones, which the next entries are likely to be about as well."""
        self._end = 0
        self._moved = threading.Condition()
        threading.Thread(target=self._follow, name="journal", daemon=True).start()

    @property
    def end(self) -> int:
        """Offset of the next entry."""
        return self._end

    def take(self) -> list[Read]:
        """Return what has come since the last call, in the journal's order."""
        with self._moved:
            taken = list(self._read)
            self._read.clear()
        return taken

    def wait_for(self, end: int, *, timeout_seconds: float = 60.0) -> bool:
        """Wait until the journal has been read up to an offset; False if it takes too long."""
        with self._moved:
            return self._moved.wait_for(lambda: self._end >= end, timeout_seconds)

    def _follow(self) -> None:
        while True:
            try:
                for entries in self._client.tail(self._run_id, self._end):
                    self._add(entries)
                return
            except Unavailable as error:
                logger.warning("the feedback service is away, still trying: %s", error)
                time.sleep(_RETRY_SECONDS)
            except RequestError:
                logger.exception("the journal cannot be followed any more")
                return

    def _add(self, entries: list[JournalEntry]) -> None:
        wanted = {i for entry in entries for i in entry.segment_ids} - self._known.keys()
        for segment in self._client.get_segments(self._run_id, sorted(wanted)) if wanted else []:
            self._known[segment.segment_id] = segment
        with self._moved:
            for entry in entries:
                self._read.append((entry, [self._known[i] for i in entry.segment_ids]))
            self._end = entries[-1].offset + 1
            self._moved.notify_all()
        for segment_id in list(itertools.islice(self._known, max(len(self._known) - _SEGMENTS_KEPT, 0))):
            del self._known[segment_id]
        self._news.set()


def follow(client: TrainingClient, run: Run, *, news: threading.Event, whole: bool) -> JournalFollower:
    """Read a run's journal as it stands, and go on in a thread.

    Args:
        client: of the training service.
        run: as it stands.
        news: see `JournalFollower`.
        whole: whether all that stands there must have been read.

    Raises:
        DeadlineExceeded: it has not been in time.
    """
    journal = JournalFollower(client, run.run_id, news=news)
    if not journal.wait_for(run.journal_end) and whole:
        raise DeadlineExceeded(f"the journal of run {run.run_id} could not be read in time")
    return journal
