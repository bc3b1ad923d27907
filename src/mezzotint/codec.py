"""Frozen dataclasses to JSON and back, and one field of them changed by its dotted name.

A field that admits several dataclasses (this network or that one) is written with a `kind`: the class's name in
lower case with dashes, less `Config`. Only the annotated classes are ever built: JSON names no code.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from mezzotint.errors import UserError

T = TypeVar("T")
Kinds = Mapping[type, tuple[type, ...]]
"""Which final classes may stand where an abstract one is annotated."""


def kind_of(cls: type) -> str:
    """`DcganGeneratorConfig` is `dcgan-generator`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.removesuffix("Config")).lower()


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the choices where nothing is near."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "it can be " + ", ".join(known)


def encode(value: Any) -> Any:
    """A dataclass tree as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": kind_of(type(value)), **fields}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value


def decode(cls: type[T], value: Any, kinds: Kinds | None = None, where: str = "") -> T:
    """The inverse of `encode`; raises UserError naming the field that does not fit `cls`."""
    return _decode(cls, value, kinds or {}, where)


def _decode(hint: Any, value: Any, kinds: Kinds, where: str) -> Any:
    classes = _dataclasses_in(hint, kinds)
    if classes and isinstance(value, Mapping):
        return _decode_dataclass(_choose(classes, value, where), value, kinds, where)
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(args, value, kinds, where)
    if origin is Literal:
        if value not in args:
            raise UserError(f"{where} cannot be {value!r}: {nearest(str(value), map(str, args))}")
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_decode(args[0], item, kinds, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {key: _decode(args[1], item, kinds, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is not bool and isinstance(value, bool)):
        return value
    raise UserError(f"{where} must be {_spoken(hint)}, not {value!r}")


def _decode_union(args: tuple[Any, ...], value: Any, kinds: Kinds, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    rest = [arg for arg in args if arg is not type(None)]
    if len(rest) == 1:
        return _decode(rest[0], value, kinds, where)
    for arg in rest:
        try:
            return _decode(arg, value, kinds, where)
        except UserError:
            continue
    raise UserError(f"{where} must be {' or '.join(map(_spoken, args))}, not {value!r}")


def _decode_dataclass(cls: type, value: Mapping[str, Any], kinds: Kinds, where: str) -> Any:
    hints = _hints(cls)
    unknown = set(value) - set(hints) - {"kind"}
    if unknown:
        name = sorted(unknown)[0]
        raise UserError(f"{where or kind_of(cls)} has no field {name!r}: {nearest(name, hints)}")
    prefix = f"{where}." if where else ""
    fields = {k: _decode(hints[k], item, kinds, prefix + k) for k, item in value.items() if k != "kind"}
    try:
        return cls(**fields)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where or kind_of(cls)} is not complete or does not fit: {error}") from None


def _choose(classes: tuple[type, ...], value: Mapping[str, Any], where: str) -> type:
    if len(classes) == 1:
        return classes[0]
    named = {kind_of(cls): cls for cls in classes}
    kind = str(value.get("kind", ""))
    if kind not in named:
        raise UserError(f"{where}.kind cannot be {kind!r}: {nearest(kind, named)}")
    return named[kind]


def _dataclasses_in(hint: Any, kinds: Kinds) -> tuple[type, ...]:
    """The dataclasses that a hint admits, abstract ones replaced by their kinds."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    found: list[type] = []
    for member in members:
        if member in kinds:
            found += kinds[member]
        elif isinstance(member, type) and dataclasses.is_dataclass(member):
            found.append(member)
    return tuple(found)


def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _spoken(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", type(None): "nothing"}
    return names.get(hint, str(getattr(hint, "__name__", hint)))


def settings(value: Any, kinds: Kinds | None = None) -> dict[str, Any]:
    """What `changed` can change, by dotted name: all leaves, and a `kind` wherever there are several to choose from."""
    return dict(_settings(type(value), value, kinds or {}, ""))


def _settings(hint: Any, value: Any, kinds: Kinds, prefix: str) -> Iterator[tuple[str, Any]]:
    dot = f"{prefix}." if prefix else ""
    if dataclasses.is_dataclass(value):
        if len(_dataclasses_in(hint, kinds)) > 1:
            yield f"{dot}kind", kind_of(type(value))
        for name, inner in _hints(type(value)).items():
            yield from _settings(inner, getattr(value, name), kinds, f"{dot}{name}")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _settings(get_args(hint)[1], item, kinds, f"{dot}{name}")
    else:
        yield prefix, value


def changed(value: T, path: str, text: str, kinds: Kinds | None = None) -> T:
    """`value` with the field at the dotted `path` read from `text`; raises UserError with the nearest right name."""
    return _changed(type(value), value, path.split("."), text, kinds or {}, (path, tuple(settings(value, kinds))))


def _changed(
    hint: Any, value: Any, keys: list[str], text: str, kinds: Kinds, asked: tuple[str, tuple[str, ...]]
) -> Any:
    path, known = asked
    if not keys:
        return _decode(hint, _parse(hint, text), kinds, path)
    key, rest = keys[0], keys[1:]
    if key == "kind" and not rest and len(_dataclasses_in(hint, kinds)) > 1:
        return _choose(_dataclasses_in(hint, kinds), {"kind": text}, path.removesuffix(".kind"))()
    if isinstance(value, Mapping) and key in value:
        return {**value, key: _changed(get_args(hint)[1], value[key], rest, text, kinds, asked)}
    if dataclasses.is_dataclass(value) and key in _hints(type(value)):
        new = _changed(_hints(type(value))[key], getattr(value, key), rest, text, kinds, asked)
        try:
            return dataclasses.replace(typing.cast(Any, value), **{key: new})
        except ValueError as error:
            raise UserError(f"{path}={text} does not fit: {error}") from None
    raise UserError(f"there is no setting {path!r}: {_nearest_path(path, known)}")


def _nearest_path(path: str, known: tuple[str, ...]) -> str:
    """By the whole name, else by its last word: `lr` finds `optimizers.method.lr`."""
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.6)
    last = [name for name in known if name.split(".")[-1] == path.split(".")[-1]]
    found = (last or close)[:1]
    return f"did you mean {found[0]!r}?" if found else "`mezzotint recipes NAME` lists them all"


def _parse(hint: Any, text: str) -> Any:
    """The JSON value that `text` stands for where `hint` is expected."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if type(None) in members and text.lower() in ("none", "null", "auto"):
        return None
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return [_parse(inner, part.strip()) for part in text.strip("()[]").split(",") if part.strip()]
    if bool in members and text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return text.lower() in ("true", "yes", "on")
    for member in members:
        if get_origin(member) is Literal:
            return next((choice for choice in get_args(member) if str(choice) == text), text)
    for number in (int, float):
        if number in members or float in members:
            try:
                return number(text)
            except ValueError:
                continue
    return text
