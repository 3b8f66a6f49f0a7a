"""Carries out one step. A failed guard is no error: the object changed, and is reconciled again."""

from __future__ import annotations

import logging

from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.discovery import DiscoveryCache
from tradepulse_operator.clients.kubernetes.errors import Conflict, NotFound
from tradepulse_operator.controllers.step import (
    Annotate,
    Apply,
    Delete,
    FileReport,
    Replace,
    SetFinalizers,
    Step,
    WriteStatus,
)

from .collect_incident import Reporter

_log = logging.getLogger(__name__)


class Applier:
    """The only place from which the operator changes anything."""

    def __init__(self, kube: Kube, reporter: Reporter, served: DiscoveryCache) -> None:
        self._kube = kube
        self._reporter = reporter
        self._served = served

    async def carry_out(self, step: Step) -> bool:
        """Send the request of `step`; False when the observed state that it was based on is stale.

        Raises KubeError for every other failure.
        """
        try:
            await self._send(step)
        except Conflict as error:
            _log.info("stale view: %s", error)
            return False
        except NotFound as error:
            if isinstance(step, Apply):
                # Applying makes what isn't there: its kind is unknown, or its namespace goes.
                manifest = step.manifest
                self._served.forget((manifest["apiVersion"], manifest["kind"]))
                raise
            _log.info("stale view: %s", error)
            return False
        return True

    async def _send(self, step: Step) -> None:
        match step:
            case Apply(manifest):
                await self._kube.apply(manifest)
            case Replace(manifest):
                await self._kube.replace(manifest)
            case Delete(ref, uid):
                await self._kube.delete(ref, uid)
            case Annotate(ref, uid, annotations):
                await self._kube.annotate(ref, uid, annotations)
            case SetFinalizers(ref, version, finalizers):
                await self._kube.set_finalizers(ref, version, finalizers)
            case WriteStatus(ref, version, status):
                await self._kube.replace_status(ref, version, status)
            case FileReport():
                await self._reporter.file(step)
            case _:
                raise TypeError(f"not a request: {step!r}")
