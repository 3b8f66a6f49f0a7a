"""A folder of an S3 bucket with verified uploads.

An object is read back after the upload and its SHA-256 compared. A repeated upload skips objects
that exist already, wherever the previous one was interrupted. The client retries requests; its
final error becomes an :class:`ObjectStoreError` with a text of its own, as the client's contains
parts of the signed request.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from tradepulse_runner.config.runner import ObjectStoreConfig
from tradepulse_runner.credentials.store import Credential
from tradepulse_runner.errors import ObjectStoreError
from tradepulse_runner.files import own
from tradepulse_runner.files.snapshot import Step, no_fault

if TYPE_CHECKING:
    from obstore.store import ClientConfig

#: Above it a file is sent in parts; also the maximum kept in memory.
PART = 8 << 20
#: Read and hashed at once: short, to not delay the trading loop.
CHUNK = 256 << 10
#: Maximum bytes of :meth:`Folder.read`, more than any manifest.
MAX_READ_BYTES = 1 << 20
_TIMEOUT = timedelta(seconds=60)  # of one request, which carries at most a part
_CONNECT = timedelta(seconds=5)
_RETRIES = 3
_STATUS = re.compile(r"status code: (\d{3})")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that was verified. ``version``: empty where the bucket keeps no versions."""

    sha256: str
    version: str


class Folder:
    """``path`` of the bucket. Raises :class:`ObjectStoreError` for whatever goes wrong there,
    OSError for what goes wrong here."""

    def __init__(
        self,
        config: ObjectStoreConfig,
        credential: Credential,
        path: str,
        *,
        step: Step = no_fault,
    ) -> None:
        self.address = f"{config.endpoint}/{config.bucket}/{path}"
        self._path, self._step = path, step
        options: ClientConfig = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT}
        if config.ca_file:
            options["root_certificate"] = config.ca_file.read_bytes()
        with _translated_errors(self.address):
            self._store = S3Store(
                config.bucket,
                config={
                    "endpoint": config.endpoint,
                    "region": config.region,
                    "access_key_id": credential.key,
                    "secret_access_key": credential.secret,
                    "checksum_algorithm": "SHA256",  # the server checks as well
                },
                client_options=options,
                retry_config={"max_retries": _RETRIES, "retry_timeout": _TIMEOUT},
            )

    async def put(self, name: str, source: Path | bytes, sha256: str) -> Stored:
        """Upload ``source``, whose checksum is ``sha256``, as ``name``, and verify it."""
        stored = await self._existing(name, sha256)
        if stored is None:
            self._step("put")
            with _translated_errors(f"{self.address}/{name}"):
                await obstore.put_async(
                    self._store, self._key(name), source, chunk_size=PART, max_concurrency=1
                )
            self._step("read-back")
            stored = await self._existing(name, sha256)
        if stored is None:
            raise ObjectStoreError(f"{self.address}/{name}: is not what was sent")
        return stored

    async def read(self, name: str) -> bytes:
        """A small object. Raises :class:`ObjectStoreError` when it isn't there."""
        data = b""
        async for chunk in self._chunks(name, await self._get(name)):
            data += chunk
            if len(data) > MAX_READ_BYTES:
                raise ObjectStoreError(f"{self.address}/{name}: larger than {MAX_READ_BYTES} bytes")
        return data

    async def fetch(self, name: str, target: Path, sha256: str) -> None:
        """Write the object to the file ``target``, synced. Raises :class:`ObjectStoreError` when
        its checksum is another one; ``target`` is worth nothing then."""
        digest = hashlib.sha256()
        with os.fdopen(own.create(target), "wb") as stream:
            async for chunk in self._chunks(name, await self._get(name)):
                digest.update(chunk)
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        if digest.hexdigest() != sha256:
            raise ObjectStoreError(
                f"{self.address}/{name}: damaged; remedy: use another backup, or an older version"
                " of this object"
            )

    async def names(self) -> list[str]:
        """Every object below the folder, relative to it."""
        with _translated_errors(self.address):
            batches = obstore.list(self._store, prefix=self._path)
            names = [item["path"] async for batch in batches for item in batch]
        return sorted(path.removeprefix(f"{self._path}/") for path in names)

    async def _existing(self, name: str, sha256: str) -> Stored | None:
        """The object, when it is there and its checksum is ``sha256``."""
        try:
            answer = await self._get(name)
        except FileNotFoundError:
            return None
        digest = hashlib.sha256()
        async for chunk in self._chunks(name, answer):
            digest.update(chunk)
        if digest.hexdigest() != sha256:
            return None
        version = answer.meta.get("version") or ""
        return Stored(sha256, "" if version == "null" else version)

    async def _get(self, name: str) -> Any:
        with _translated_errors(f"{self.address}/{name}"):
            return await obstore.get_async(self._store, self._key(name))

    async def _chunks(self, name: str, answer: Any) -> AsyncIterator[bytes]:
        with _translated_errors(f"{self.address}/{name}"):
            async for chunk in answer.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def _key(self, name: str) -> str:
        return f"{self._path}/{name}"


class Missing(ObjectStoreError, FileNotFoundError):
    """The bucket, or the object, isn't there."""


@contextlib.contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Translate the client's errors into :class:`ObjectStoreError`."""
    try:
        yield
    except ObjectStoreError:
        raise
    except FileNotFoundError:
        raise Missing(f"{what}: no such bucket or object") from None
    except (BaseError, ValueError) as error:
        raise ObjectStoreError(f"{what}: {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return "refused our credentials; remedy: look at the Secret and at the bucket's policy"
    match = _STATUS.search(str(error))
    if match:
        return f"answered with status {match.group(1)}"
    return "gives no answer; remedy: look whether it runs, and whether its certificate is trusted"
