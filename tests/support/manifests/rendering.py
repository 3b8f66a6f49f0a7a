"""Reads a kustomize tree without kustomize: what our own trees use of it, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
Manifest = dict[str, Any]


def load(folder: Path) -> list[Manifest]:
    """Every object of a kustomization, in order; the folders that it includes come with it."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        place = (folder / name).resolve()
        if place.is_dir():
            found += load(place)
        else:
            found += [one for one in yaml.safe_load_all(place.read_text()) if one]
    return found


def find(objects: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)
    return found
