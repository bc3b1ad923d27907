"""Files of JSON lines that are appended to and survive a kill in the middle of a line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that were written to their end; a torn one is passed over."""
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def mend(path: Path) -> None:
    """End a torn last line, so that the next one is not lost with it."""
    if path.is_file() and path.stat().st_size:
        with path.open("rb+") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
