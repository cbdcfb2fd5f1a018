"""The keys of a run file: their names, kinds, defaults and help, read from the typed tree."""

import difflib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cluster.runs.config import RunConfig

_LIKENESS = 0.75
"""From 0, nothing in common, to 1, the same."""


@dataclass(frozen=True, slots=True)
class Key:
    """A place in the tree, as a dotted path."""

    path: str
    field: FieldInfo
    section: type[BaseModel] | None
    """The section that lies here; None for a value."""

    @property
    def help(self) -> str:
        """What it is for, in one line."""
        text = self.field.description or (self.section.__doc__ if self.section else "") or ""
        return " ".join(text.split())

    @property
    def default(self) -> Any:
        """What it is where the file does not say."""
        return self.field.get_default(call_default_factory=True)

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that its value may have, without their constraints."""
        return tuple(_plain_types(self.field.annotation))


def walk(section: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[Key]:
    """Go through all keys, sections before what is in them."""
    for name, field in section.model_fields.items():
        path = f"{prefix}{name}"
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield Key(path, field, below)
            yield from walk(below, f"{path}.")
        else:
            yield Key(path, field, None)


def all_keys() -> dict[str, Key]:
    """Return every key by its path."""
    return {key.path: key for key in walk()}


def nearest(path: str) -> str | None:
    """Return the known path that an unknown one was probably meant to be.

    A key of the same name in another section comes first, then the whole path, then a name alone: people forget
    sections, too.
    """
    known = list(all_keys())
    same = [other for other in known if other.rpartition(".")[2] == path.rpartition(".")[2]]
    if same:
        return difflib.get_close_matches(path, same, n=1, cutoff=0.0)[0]
    if near := difflib.get_close_matches(path, known, n=1, cutoff=_LIKENESS):
        return near[0]
    names = {other.rpartition(".")[2]: other for other in reversed(known)}
    near = difflib.get_close_matches(path.rpartition(".")[2], names, n=1, cutoff=_LIKENESS)
    return names[near[0]] if near else None


def _plain_types(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _plain_types(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _plain_types(part)
    elif origin is typing.Literal:
        yield origin
    else:
        yield origin or annotation
