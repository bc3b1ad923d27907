"""What a result was measured on, without naming the machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def facts(*packages: str) -> dict[str, Any]:
    """Processor, cores, memory and the versions of `packages`."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        flags = "avx512_bf16" if "avx512_bf16" in info.read_text() else "no avx512_bf16"
        cpu = f"{names[0]} ({flags})" if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {}
    for name in ("mezzotint", "torch", "numpy", *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return {"cpu": cpu, "cores": cores, "python": platform.python_version(), "versions": found}
