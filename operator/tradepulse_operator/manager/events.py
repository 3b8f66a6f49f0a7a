"""Kubernetes Events for people: what the persisted status records, each transition once.

The name of an event is made of its transition, so the API server itself refuses a second one. What
this process has created is remembered, to save requests. Events never delay anything.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable

from tradepulse_operator.api.meta import Meta
from tradepulse_operator.clients.clock import Clock
from tradepulse_operator.clients.kubernetes import kinds
from tradepulse_operator.clients.kubernetes.client import Kube
from tradepulse_operator.clients.kubernetes.errors import Conflict, KubeError
from tradepulse_operator.common.names import API_VERSION, MANAGER
from tradepulse_operator.common.objects import Manifest
from tradepulse_operator.common.time import instant
from tradepulse_operator.controllers.step import Event

#: The API server keeps events for an hour: an older transition would come back as a new event.
_RECENT = 3600.0
_REMEMBERED = 8192

_log = logging.getLogger(__name__)


class Emitter:
    """Creates events. `instance`: this process, for who wonders which one spoke."""

    def __init__(self, kube: Kube, clock: Clock, instance: str) -> None:
        self._kube = kube
        self._clock = clock
        self._instance = instance
        self._known: OrderedDict[str, None] = OrderedDict()

    async def ensure(self, kind: str, about: Meta, events: Iterable[Event]) -> None:
        """Create those of `events` that are recent and not known to exist."""
        oldest = self._clock.now() - _RECENT
        for event in events:
            if instant(event.at) < oldest:
                continue
            name = event_name(about, event)
            known = f"{about.namespace}/{name}"
            if known not in self._known and await self._create(kind, about, name, event):
                self._known[known] = None
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)

    async def _create(self, kind: str, about: Meta, name: str, event: Event) -> bool:
        try:
            await self._kube.create(manifest(kind, about, name, event, self._instance))
        except Conflict:
            return True
        except KubeError as error:
            _log.info("event %s not created: %s", event.reason, error)
            # A refusal stays one; everything else may work at the next reconciliation.
            return error.code in (400, 403, 404, 422)
        return True


def event_name(about: Meta, event: Event) -> str:
    """The same for the same transition of the same object."""
    digest = hashlib.sha256(f"{about.uid}\n{event.key}".encode()).hexdigest()[:16]
    return f"{about.name[:200]}.{digest}"


def manifest(kind: str, about: Meta, name: str, event: Event, instance: str) -> Manifest:
    """A core/v1 Event, which is what `kubectl describe` shows."""
    # The API server takes whole seconds in these fields.
    at = event.at[:19] + "Z"
    return {
        "apiVersion": kinds.EVENT[0],
        "kind": kinds.EVENT[1],
        "metadata": {"name": name, "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "type": event.type,
        "reason": event.reason[:128],
        "message": event.message[:1024],
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": f"tradepulse.io/{MANAGER}",
        "reportingInstance": instance[:128],
    }
