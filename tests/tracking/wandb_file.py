"""Reads a W&B run's own file back: W&B's protobuf records, which its package reads, in LevelDB's framing."""

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as messages

HEADER, BLOCK, FRAME = 7, 32768, 7
FULL, LAST = 1, 4


@dataclass
class TrackedRun:
    project: str = ""
    entity: str = ""
    name: str = ""
    notes: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def read_run(path: Path, patience_s: float = 30) -> TrackedRun:
    """What the file of a closed run says. W&B's own process writes it, and may do so after `finish` has returned."""
    deadline = time.monotonic() + patience_s
    while (run := _read(path)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return run


def _read(path: Path) -> TrackedRun:
    run = TrackedRun()
    for record in _records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.project, run.group, run.job_type = record.run.project, record.run.run_group, record.run.job_type
            run.entity, run.name, run.notes = record.run.entity, record.run.display_name, record.run.notes
            run.tags = list(record.run.tags)
            run.config |= _values(record.run.config.update)
        elif kind == "history":
            run.history.append(_values(record.history.item))
        elif kind == "summary":
            run.summary |= _values(record.summary.update)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _values(items: Any) -> dict[str, Any]:
    """Values by key; where W&B wrote the parts of a value one by one, together again."""
    values: dict[str, Any] = {}
    for item in items:
        *parents, last = item.nested_key or [item.key]
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = json.loads(item.value_json)
    return values


def _records(data: bytes) -> Iterator[Any]:
    assert not data or data.startswith(b":W&B")
    place, content = HEADER, b""
    while place + FRAME <= len(data):
        left_in_block = BLOCK - place % BLOCK
        if left_in_block < FRAME:
            place += left_in_block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if place + FRAME + length > len(data):
            return  # not written to its end yet
        content += data[place + FRAME : place + FRAME + length]
        place += FRAME + length
        if kind in (FULL, LAST):
            yield messages.Record.FromString(content)
            content = b""
