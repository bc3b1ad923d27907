from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint import codec
from mezzotint.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RoundConfig:
    radius: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SquareConfig:
    side: int = 2
    sides: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if self.side < 0:
            raise ValueError("a side must not be negative")


class Shape:
    """Abstract; its kinds are given."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str
    shape: RoundConfig | SquareConfig = RoundConfig()
    open: Shape | None = None
    mode: Literal["fast", "slow"] = "fast"
    level: Literal[1, 3] | None = None
    ratio: float | None = None
    count: int = 0
    sure: bool = False
    parts: dict[str, SquareConfig] = field(default_factory=dict[str, SquareConfig])


wholes = st.builds(
    Whole,
    name=st.text(max_size=5),
    shape=st.one_of(
        st.builds(RoundConfig, radius=st.floats(-1e9, 1e9)),
        st.builds(SquareConfig, side=st.integers(0, 9), sides=st.lists(st.integers(), max_size=3).map(tuple)),
    ),
    mode=st.sampled_from(["fast", "slow"]),
    level=st.sampled_from([None, 1, 3]),
    ratio=st.none() | st.floats(allow_nan=False),
    count=st.integers(-(2**53), 2**53),
    sure=st.booleans(),
    parts=st.dictionaries(st.text(max_size=3), st.builds(SquareConfig, side=st.integers(0, 9)), max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(wholes)
def test_there_and_back(value: Whole) -> None:
    import json

    assert codec.decode(Whole, json.loads(json.dumps(codec.encode(value)))) == value


@settings(max_examples=60, deadline=None)
@given(wholes)
def test_any_value_of_the_right_type_can_be_set_from_its_text(value: Whole) -> None:
    start = Whole(name="x")
    for path in ("mode", "level", "ratio", "count", "sure"):
        text = str(getattr(value, path))
        assert getattr(codec.changed(start, path, text), path) == getattr(value, path)


def test_kinds_have_readable_names() -> None:
    assert codec.kind_of(RoundConfig) == "round"
    assert codec.encode(Whole(name="a"))["shape"] == {"kind": "round", "radius": 1.0}


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("shape.radius", "3", 3.0),
        ("shape.radius", "1e-4", 1e-4),
        ("parts.a.side", "7", 7),
        ("parts.a.sides", "3,4,5", (3, 4, 5)),
        ("parts.a.sides", "(3, 4)", (3, 4)),
        ("parts.a.sides", "[]", ()),
        ("sure", "yes", True),
        ("sure", "off", False),
        ("ratio", "none", None),
        ("ratio", "auto", None),
        ("level", "3", 3),
        ("name", "12", "12"),
    ],
)
def test_one_field_is_changed_from_text(path: str, text: str, expected: object) -> None:
    value = codec.changed(Whole(name="x", parts={"a": SquareConfig(), "b": SquareConfig()}), path, text)
    found: object = value
    for key in path.split("."):
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    assert found == expected
    assert type(found) is type(expected)
    assert value.parts["b"] == SquareConfig()


def test_another_kind_comes_with_its_own_defaults() -> None:
    assert codec.changed(Whole(name="x"), "shape.kind", "square").shape == SquareConfig()
    with pytest.raises(UserError, match="did you mean 'square'"):
        codec.changed(Whole(name="x"), "shape.kind", "sqare")


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("cuont", "1", "did you mean 'count'"),
        ("radius", "1", "did you mean 'shape.radius'"),
        ("shape.side", "1", "no setting 'shape.side'"),
        ("shape", "1", "shape must be"),
        ("zzz", "1", "lists them all"),
        ("count", "1.5", "count must be a whole number"),
        ("count", "", "count must be a whole number"),
        ("sure", "maybe", "sure must be true or false"),
        ("sure", "1", "sure must be true or false"),
        ("mode", "fats", "did you mean 'fast'"),
        ("level", "2", "level cannot be '2': it can be 1, 3"),
        ("parts.a.side", "-1", "a side must not be negative"),
        ("parts.c.side", "1", "no setting"),
    ],
)
def test_what_does_not_fit_is_named(path: str, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        codec.changed(Whole(name="x", parts={"a": SquareConfig()}), path, text)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "not complete"),
        ({"name": 3}, "name must be a word, not 3"),
        ({"name": "x", "nome": 1}, "did you mean 'name'"),
        ({"name": "x", "shape": {"radius": 1.0}}, r"shape.kind cannot be ''"),
        ({"name": "x", "shape": {"kind": "os.system"}}, r"shape.kind cannot be 'os.system'"),
        ({"name": "x", "shape": {"kind": "round", "radius": "1"}}, "shape.radius must be a number"),
        ({"name": "x", "count": True}, "count must be a whole number, not True"),
        ({"name": "x", "mode": "other"}, "mode cannot be 'other'"),
        ({"name": "x", "parts": []}, "parts must be"),
    ],
)
def test_foreign_json_is_refused_by_field(fields: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        codec.decode(Whole, fields)


def test_only_listed_kinds_of_an_abstract_class_are_built() -> None:
    with pytest.raises(UserError):
        codec.decode(Whole, {"name": "x", "open": {"kind": "round"}})
    found = codec.decode(Whole, {"name": "x", "open": {"kind": "round"}}, {Shape: (RoundConfig, SquareConfig)})
    assert found.open == RoundConfig()


def test_paths_are_what_can_be_changed() -> None:
    value = Whole(name="x", parts={"a": SquareConfig()})
    assert set(codec.settings(value)) == {
        *(
            "name",
            "shape.kind",
            "shape.radius",
            "open",
            "mode",
            "level",
            "ratio",
            "count",
            "sure",
            "parts.a.side",
            "parts.a.sides",
        )
    }


def test_nearest() -> None:
    assert codec.nearest("dcgna", ["vae", "dcgan"]) == "did you mean 'dcgan'?"
    assert codec.nearest("qqq", ["vae", "dcgan"]) == "it can be dcgan, vae"
