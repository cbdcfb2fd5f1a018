"""The newest of something that is published by reference: a Ray actor that followers ask."""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any

import ray

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version and a boxed reference to it."""

    version: int
    boxed: list[ray.ObjectRef]
    journal_end: int = 0
    """Of a reward model: the feedback before this offset of the run's journal is in it."""
    reward_weight: float = 1.0
    """Of a policy: how much the reward model counts where both act."""


class Newest:
    """Keeps the newest version; older ones are forgotten, so nothing queues."""

    def __init__(self) -> None:
        self._newest: Published | None = None
        self._changed = asyncio.Condition()

    async def publish(self, published: Published) -> None:
        """Put a newer version in the place of the one before."""
        content = await published.boxed[0]
        async with self._changed:
            if self._newest is None or published.version > self._newest.version:
                # A copy of its own: what is published by reference dies with its owner.
                self._newest = replace(published, boxed=[ray.put(content)])
                self._changed.notify_all()

    async def newer_than(self, version: int, *, wait_seconds: float = 0.0) -> Published | None:
        """Return the newest version if it is newer than this one, as soon as there is one."""

        def is_newer() -> bool:
            return self._newest is not None and self._newest.version > version

        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(is_newer), wait_seconds)
            except TimeoutError:
                return None
            return self._newest


class Follower:
    """Looks for newer versions and never waits; a `Newest` that is away has nothing newer."""

    def __init__(self, newest: Any) -> None:
        """Follow an actor; None: there is nothing."""
        self._newest, self._asked = newest, None
        self._is_away = False
        self.version = 0
        """The newest one that `look` has returned."""

    def look(self) -> tuple[Published, Any] | None:
        """Return a newer version and what it refers to, if there is one."""
        if self._newest is None:
            return None
        if self._asked is None:
            self._asked = self._newest.newer_than.remote(self.version, wait_seconds=_WAIT_SECONDS)
        ready, _ = ray.wait([self._asked], timeout=0)
        if not ready:
            return None
        asked, self._asked = self._asked, None
        try:
            published: Published | None = ray.get(asked)
            if published is None:
                return None
            content = ray.get(published.boxed[0])
        except ray.exceptions.RayError as error:
            if not self._is_away:
                logger.warning("nothing newer until it is back: %s", str(error).splitlines()[0])
            self._is_away = True
            return None
        self._is_away = False
        self.version = published.version
        return published, content
