"""Train, judge and use image models on your own pictures.

>>> import mezzotint as mz
>>> run = mz.train("vae-dense", "fashion-mnist", minutes=1)
>>> mz.load(run).generate(seeds=range(16))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mezzotint.api import Interrupted, resume, train
    from mezzotint.data.check import check
    from mezzotint.data.dataset import Dataset
    from mezzotint.data.dataset import load as load_data
    from mezzotint.data.pictures import grid, save_png, to_float, to_uint8
    from mezzotint.errors import UserError
    from mezzotint.model import Model, load

_HOME = {
    "Dataset": ("data.dataset", "Dataset"),
    "Interrupted": ("api", "Interrupted"),
    "Model": ("model", "Model"),
    "UserError": ("errors", "UserError"),
    "check": ("data.check", "check"),
    "grid": ("data.pictures", "grid"),
    "load": ("model", "load"),
    "load_data": ("data.dataset", "load"),
    "resume": ("api", "resume"),
    "save_png": ("data.pictures", "save_png"),
    "to_float": ("data.pictures", "to_float"),
    "to_uint8": ("data.pictures", "to_uint8"),
    "train": ("api", "train"),
}

__all__ = [
    "Dataset",
    "Interrupted",
    "Model",
    "UserError",
    "check",
    "grid",
    "load",
    "load_data",
    "resume",
    "save_png",
    "to_float",
    "to_uint8",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import mezzotint` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'mezzotint' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(import_module(f"mezzotint.{module}"), attribute)
