"""The journal of a run: one JSON line per event, and the same figures as TensorBoard events."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.training import lines


class Journal:
    """Appends events to `journal.jsonl` and scalars and pictures to `events/`.

    Lines are flushed as they are written, so a killed run keeps all but a torn last one, which `read` passes over.
    """

    def __init__(self, folder: Path, purge_from: int = 0) -> None:
        self.path = folder / "journal.jsonl"
        lines.mend(self.path)
        self._file = self.path.open("a")
        self._events_folder = folder / "events"
        self._purge_from = purge_from
        self._events: Any = None

    def write(self, event: str, images: int, **facts: Any) -> None:
        """Append one event at `images` pictures seen; `facts` are plain JSON values."""
        line = {"event": event, "images": images, "time": round(time.time(), 3), **facts}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def scalars(self, images: int, values: Mapping[str, float]) -> None:
        """Show the curves `values` at `images` pictures in TensorBoard."""
        for name, value in values.items():
            self._board().add_scalar(name, value, images)

    def picture(self, images: int, name: str, pixels: np.ndarray) -> None:
        """Show a uint8 h×w×c picture in TensorBoard."""
        self._board().add_image(name, pixels, images, dataformats="HWC")

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        if self._events is not None:
            self._events.close()

    def _board(self) -> Any:
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(self._events_folder, purge_step=self._purge_from, max_queue=50)
        return self._events


def read(path: Path) -> list[dict[str, Any]]:
    """The events that hold: what a resumed run did over again replaces what it did the first time."""
    events: list[dict[str, Any]] = []
    for event in lines.read(path):
        if event["event"] in ("begin", "resume"):
            events = [e for e in events if e["images"] <= event["images"] and event["event"] == "resume"]
        events.append(event)
    return events
