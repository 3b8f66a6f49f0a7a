"""The state container's last word: a JSON object in its termination message."""

from __future__ import annotations

import json
from typing import Any

from .views import PodView


def said(pod: PodView) -> dict[str, Any]:
    """It, or nothing where it can't be used."""
    try:
        found = json.loads(pod.init_message)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
