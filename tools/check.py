"""Everything that must hold before a change lands: format, lint, types, import floors, tests.

Each step is named with its seconds; the first that fails ends the run with its exit code.
"""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent


def main() -> int:
    """Run all steps in order; `--fast` leaves the slow tests out."""
    if importlib.util.find_spec("torchvision") is not None:
        print("torchvision is installed: no dependency of mezzotint may bring it; remove it from .venv")
        return 1
    workers = ["-n", "2"] if "--fast" in sys.argv else ["-n", "2", "--dist", "loadgroup"]
    marks = ["-m", "not slow and not gpu"] if "--fast" in sys.argv else ["-m", "not gpu"]
    steps = [
        [BIN / "ruff", "check", "src", "tests", "benchmarks", "tools"],
        [BIN / "ruff", "format", "--check", "src", "tests", "benchmarks", "tools"],
        [BIN / "basedpyright", "--level", "error"],
        [BIN / "lint-imports"],
        [BIN / "pytest", *workers, *marks, "--durations=25"],
    ]
    for step in steps:
        started = time.monotonic()
        code = subprocess.run([str(part) for part in step], check=False).returncode
        print(f"{step[0].name} {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s", flush=True)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
