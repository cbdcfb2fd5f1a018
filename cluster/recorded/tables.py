"""Reading a table row by row, whoever wrote it; what is wrong is said with file, row and column."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.recorded import layout
from hitl.errors import ConfigError, HandrailError

_ROWS_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, by the names of its columns; what is left out is None."""

    path: Path
    number: int
    """From 0."""
    values: dict[str, Any]

    def get(self, column: str, default: Any = None) -> Any:
        """Return what the row says, or what it stands for where it says nothing."""
        value = self.values.get(column)
        return default if value is None else value

    def needed(self, column: str) -> Any:
        """Return what the row must say.

        Raises:
            ConfigError: it says nothing.
        """
        if self.values.get(column) is None:
            raise self.complaint(column, "it is empty, and this cannot be left out")
        return self.values[column]

    def agreed(self, column: str, said: Any) -> None:
        """Check that the row says what its message says, if it says anything.

        Raises:
            ConfigError: it says something else: somebody has changed one of the two.
        """
        if (value := self.values.get(column)) is not None and value != said:
            raise self.complaint(
                column,
                f"{value!r}, but the column message says {said!r}; change a row by leaving its message out",
            )

    def complaint(self, column: str, why: object) -> ConfigError:
        """Return an error about one of its columns."""
        return ConfigError(f"{self.path}: row {self.number}, column {column}: {why}")

    @contextmanager
    def about(self, column: str) -> Iterator[None]:
        """Turn what is wrong with a value into an error that names this column."""
        try:
            yield
        except HandrailError as error:
            raise self.complaint(column, error) from None


def read_rows(folder: Path, table: str) -> Iterator[Row]:
    """Yield the rows of a table; none where there is no such file.

    Raises:
        ConfigError: it is no such table, or a column has a type that makes no sense.
    """
    path = folder / table
    if not path.is_file():
        return
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            layout.check_version(path, file.schema_arrow.metadata)
            kinds = layout.SCHEMAS[table]
            known = [name for name in file.schema_arrow.names if name in kinds.names]
            for batch in file.iter_batches(_ROWS_TOGETHER, columns=known):
                columns = {
                    name: _values(path, batch.column(name), kinds.field(name).type, name, number)
                    for name in known
                }
                for place in range(batch.num_rows):
                    yield Row(path, number + place, {name: values[place] for name, values in columns.items()})
                number += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None


def _values(path: Path, column: pa.Array, kind: pa.DataType, name: str, first: int) -> list[Any]:
    if kind == layout.TENSOR:
        return _arrays(path, column, name)
    try:
        return list(column.cast(kind).to_pylist())
    except pa.ArrowException:
        for place in range(len(column)):
            try:
                column.slice(place, 1).cast(kind)
            except pa.ArrowException:
                value = column[place].as_py()
                raise Row(path, first + place, {}).complaint(
                    name, f"{value!r:.80} is not {_words(kind)}"
                ) from None
        raise


def _arrays(path: Path, column: pa.Array, name: str) -> list[Any]:
    if not (pa.types.is_struct(column.type) or pa.types.is_null(column.type) or _is_list(column.type)):
        raise ConfigError(
            f"{path}: column {name}: {column.type} is no array; write {{dtype, shape, data}}, or nested lists"
        )
    return list(column.to_pylist())


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _words(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "a whole number"
    if pa.types.is_floating(kind):
        return "a number"
    if pa.types.is_timestamp(kind):
        return "a point in time"
    return "a list of texts" if _is_list(kind) else "bytes" if pa.types.is_binary(kind) else "a text"
