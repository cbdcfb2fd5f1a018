"""Big arrays, beside the database: a folder by default, an object store through any fsspec URL."""

import hashlib
import os
import secrets

import fsspec

from hitl.errors import NotFound, StorageError


class Blobs:
    """Immutable byte strings, named by what is in them."""

    def __init__(self, url: str) -> None:
        """Open the store, making its folder if needed.

        Raises:
            StorageError: the folder cannot be made.
        """
        self._files, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._is_local = isinstance(self._files, fsspec.get_filesystem_class("file"))
        try:
            self._files.makedirs(self._root, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the blob folder {url} cannot be made ({error.strerror}); choose one that can be written"
            ) from None

    def put(self, content: bytes) -> str:
        """Store the bytes durably and return their name; the same bytes have the same name."""
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if not self._files.exists(path):
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._write(path, content)
        return name

    def get(self, name: str) -> bytes:
        """Read bytes back.

        Raises:
            NotFound: there are none of this name.
        """
        try:
            return bytes(self._files.cat_file(self._path(name)))
        except FileNotFoundError:
            raise NotFound(f"blob {name} is gone; was the blob folder moved or cleaned by hand?") from None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"

    def _write(self, path: str, content: bytes) -> None:
        if not self._is_local:
            self._files.pipe_file(path, content)
            return
        draft = f"{path}.{secrets.token_hex(4)}"
        with self._files.open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        # The name is durable only once its folder is, and the folder's own name once its parent is.
        _sync_folder(os.path.dirname(path))
        _sync_folder(self._root)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
