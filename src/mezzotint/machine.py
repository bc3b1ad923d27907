"""What a measurement was taken on, without naming the machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def facts(*packages: str) -> dict[str, Any]:
    """Processor, cores and the versions of mezzotint, torch, numpy and `packages`; the GPU where torch sees one."""
    found: dict[str, str] = {}
    for name in ("mezzotint", "torch", "numpy", *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": _cpu(), "cores": cores, **_gpu(), "python": platform.python_version(), "versions": found}


def _gpu() -> dict[str, str]:
    import torch

    return {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        text = info.read_text()
        names = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
        if names:
            return f"{names[0]} ({'avx512_bf16' if 'avx512_bf16' in text else 'no avx512_bf16'})"
    return platform.processor() or platform.machine()
