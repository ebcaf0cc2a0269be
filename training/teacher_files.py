"""Fold teachers as files: an ensemble a fold in LightGBM's text, and the spread of records around what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import lightgbm as lgb
import numpy as np

from contracts.errors import ArtifactInvalid
from contracts.hindsight import TEACHER_SCHEMA
from contracts.manifest import sha256
from contracts.teacher import TEACHER_FILE, TeacherManifest, decode_teacher
from training.distill import FoldTeachers
from training.labels import Spread

SPREAD_FILE: Final = "spread.json"
_PARTS: Final = ("edges", "middle", "below", "above")


def write_teachers(folder: Path, teachers: FoldTeachers) -> list[Path]:
    """Write all files but the manifest; folds first, by number."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, booster in enumerate(teachers.boosters):
        files.append(folder / f"fold-{number}.txt")
        files[-1].write_text(booster.model_to_string(), encoding="utf-8")
    spread = {name: getattr(teachers.spread, name).tolist() for name in _PARTS}
    files.append(folder / SPREAD_FILE)
    files[-1].write_text(json.dumps(spread, indent=1) + "\n", encoding="utf-8")
    return files


def read_teachers(folder: Path) -> tuple[TeacherManifest, FoldTeachers]:
    """Read what was written, every hash verified; raises ArtifactInvalid, naming the check."""
    try:
        manifest = decode_teacher((folder / TEACHER_FILE).read_bytes(), folder.name)
        content = {name: (folder / name).read_bytes() for name in manifest.files}
    except OSError as error:
        raise ArtifactInvalid(folder.name, "file", f"{error.filename}: {error.strerror}") from error
    for name, raw in content.items():
        if (found := sha256(raw)) != manifest.files[name]:
            raise ArtifactInvalid(manifest.name, "hash", f"{name} has {found}, expected {manifest.files[name]}")
    if manifest.schema_hash != TEACHER_SCHEMA.schema_hash():
        expected = TEACHER_SCHEMA.schema_hash()[:12]
        detail = f"made for schema {manifest.schema_hash[:12]}…, this release has {expected}…"
        raise ArtifactInvalid(manifest.name, "schema", detail)
    try:
        parts = json.loads(content[SPREAD_FILE])
        spread = Spread(*(np.array(parts[name], dtype=np.float64) for name in _PARTS))
        boosters = tuple(lgb.Booster(model_str=content[name].decode()) for name in manifest.folds)
    except (KeyError, ValueError, lgb.basic.LightGBMError) as error:
        raise ArtifactInvalid(manifest.name, "content", str(error)) from error
    width = len(TEACHER_SCHEMA.features)
    if wrong := [name for name, one in zip(manifest.folds, boosters, strict=True) if one.num_feature() != width]:
        raise ArtifactInvalid(manifest.name, "content", f"{wrong[0]} does not take {width} entries")
    return manifest, FoldTeachers(boosters, spread)
