"""Files that are the old one or the new one, and never half of it."""

import errno
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mezzotint.digest import file_digest


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name and put it in place."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8", errors="backslashreplace")  # file names need not be text
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file and return its hash; raises OSError where the disk refuses."""
    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)
    except SafetensorError as error:
        # The library tells what the system said in words only.
        found = re.search(r"os error (\d+)", str(error))
        raise OSError(int(found[1]) if found else errno.EIO, str(error), str(path)) from None
    return file_digest(path)
