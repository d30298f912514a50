"""Checkpoints: safetensors and JSON, whole or absent, never silently wrong."""

from __future__ import annotations

from engine.checkpoint.manifest import Manifest
from engine.checkpoint.store import (
    Checkpoint,
    CheckpointStore,
    load_checkpoint,
    verify,
)

__all__ = ["Checkpoint", "CheckpointStore", "Manifest", "load_checkpoint", "verify"]
