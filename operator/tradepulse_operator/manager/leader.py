"""Leader election on a Lease: only the holder acts, and a process that loses it exits.

Whether another holder is gone is judged by how long its record stood still on *our* clock, as
client-go does: clocks of two nodes needn't agree. A holder stops at `renew` seconds without a
successful renewal, well before others may take over at `duration`; the renewal counts from when it
was sent, not from when the answer came.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from tradepulse_operator.clients.clock import Clock
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import Conflict, KubeError
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.common.time import timestamp

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The lease could not be renewed in time: somebody else may act now."""


@dataclass(frozen=True)
class Times:
    """Seconds. `renew` < `duration`, and `every` < `renew`."""

    duration: float = 15.0
    renew: float = 10.0
    every: float = 2.0


class Lease:
    """One candidate. `identity` must differ between processes: the pod's name and uid."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        namespace: str,
        identity: str,
        *,
        name: str = "tradepulse-operator",
        times: Times = Times(),
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._ref = kinds.ref(kinds.LEASE, namespace, name)
        self._identity = identity
        self._times = times
        self._record: Any = None
        self._record_at = 0.0
        self._lease: Manifest | None = None
        self._renewed_at = 0.0

    @property
    def leading(self) -> bool:
        """Whether this process may act now."""
        age = self._clock.monotonic() - self._renewed_at
        return self._lease is not None and age < self._times.renew

    @property
    def epoch(self) -> int:
        """How often the lease has changed hands, as far as this process has observed."""
        return int(((self._lease or {}).get("spec") or {}).get("leaseTransitions") or 0)

    async def acquire(self) -> None:
        """Return once the lease is acquired; errors until then are logged, and retried."""
        while True:
            try:
                if await self._try():
                    _log.info("lease acquired", extra={"epoch": self.epoch})
                    return
            except Conflict:
                _log.info("another candidate was faster")
            except KubeError as error:
                _log.warning("lease can't be read or written: %s", error)
            await asyncio.sleep(self._times.every)

    async def keep(self) -> None:
        """Renew for ever. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self._times.every)
            left = self._times.renew - (self._clock.monotonic() - self._renewed_at)
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._renew()
            except TimeoutError as error:
                raise LeaseLost("not renewed in time") from error
            except KubeError as error:
                _log.warning("lease not renewed: %s", error)
            if not self.leading:
                raise LeaseLost("not renewed in time")

    async def release(self) -> None:
        """Give the lease back, so that a successor needn't wait; best effort."""
        if self._lease is None:
            return
        try:
            async with asyncio.timeout(self._times.every):
                spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._kube.replace({**self._lease, "spec": spec})
        except (KubeError, TimeoutError) as error:
            _log.warning("lease not released, it runs out by itself: %s", error)
        self._lease = None

    async def _try(self) -> bool:
        live = await self._kube.get(self._ref)
        now = self._clock.monotonic()
        if live is None:
            self._take(await self._kube.create(self._manifest(None)), now)
            return True
        spec = live.get("spec") or {}
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._record:
            self._record, self._record_at = record, now
        lasts = float(spec.get("leaseDurationSeconds") or self._times.duration)
        free = not spec.get("holderIdentity") or spec.get("holderIdentity") == self._identity
        if not free and now - self._record_at < lasts:
            return False
        self._take(await self._kube.replace(self._manifest(live)), now)
        return True

    async def _renew(self) -> None:
        sent = self._clock.monotonic()
        current = self._lease
        try:
            self._take(await self._kube.replace(self._manifest(current)), sent)
        except Conflict:
            # The answer got lost, or somebody else wrote it: the live object decides.
            live = await self._kube.get(self._ref)
            if live is None or (live.get("spec") or {}).get("holderIdentity") != self._identity:
                raise LeaseLost("somebody else holds the lease") from None
            self._lease = live

    def _take(self, lease: Manifest, sent: float) -> None:
        self._lease, self._renewed_at = lease, sent

    def _manifest(self, live: Manifest | None) -> Manifest:
        """The lease with this process as its holder. `live`: the present one, if there is one."""
        now = timestamp(self._clock.now())
        old = (live or {}).get("spec") or {}
        same = old.get("holderIdentity") == self._identity
        meta = (live or {}).get("metadata") or {
            "name": self._ref.name,
            "namespace": self._ref.namespace,
        }
        return {
            "apiVersion": self._ref.api_version,
            "kind": self._ref.kind,
            "metadata": meta,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._times.duration),
                "acquireTime": old.get("acquireTime") if same else now,
                "renewTime": now,
                "leaseTransitions": int(old.get("leaseTransitions") or 0)
                + (0 if same or live is None else 1),
            },
        }
