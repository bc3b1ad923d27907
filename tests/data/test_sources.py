import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from mezzotint.data import dataset, folders, formats
from mezzotint.errors import UserError


def write_idx(path: Path, array: np.ndarray, packed: bool = False) -> None:
    """LeCun's format by the book: two zeros, type 8, dimensions, big-endian lengths, bytes."""
    data = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if packed else data)


@pytest.fixture
def numbers() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "train-images": random.integers(0, 256, (60, 5, 4), dtype=np.uint8),
        "train-labels": random.integers(0, 10, 60, dtype=np.uint8),
        "t10k-images": random.integers(0, 256, (9, 5, 4), dtype=np.uint8),
        "t10k-labels": random.integers(0, 10, 9, dtype=np.uint8),
    }


def write_mnist(folder: Path, numbers: dict[str, np.ndarray], dash: str = "-", packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in numbers.items():
        kind = "idx3" if "images" in name else "idx1"
        write_idx(folder / f"{name}{dash}{kind}-ubyte{'.gz' if packed else ''}", array, packed)
    return folder


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dash", ["-", "."])
def test_mnist_files_give_their_pictures_labels_and_test_split(tmp_path, numbers, dash, packed):
    found = dataset.load(write_mnist(tmp_path / "m", numbers, dash, packed), cache_folder=tmp_path / "cache")
    assert np.array_equal(found.images[..., 0], np.concatenate([numbers["train-images"], numbers["t10k-images"]]))
    assert np.array_equal(found.labels, np.concatenate([numbers["train-labels"], numbers["t10k-labels"]]))
    assert found.splits["test"].tolist() == list(range(60, 69))
    assert found.classes == tuple("0123456789")
    assert (found.spec.height, found.spec.width, found.spec.channels) == (5, 4, 1)


def test_mnist_is_found_where_the_environment_says(tmp_path, numbers, monkeypatch):
    write_mnist(tmp_path / "data" / "mnist", numbers)
    monkeypatch.setenv("MEZZOTINT_DATA", str(tmp_path / "data"))
    assert len(dataset.load("mnist", cache_folder=tmp_path / "cache").images) == 69


def test_mnist_is_found_in_the_cache(tmp_path, numbers, monkeypatch):
    monkeypatch.delenv("MEZZOTINT_DATA", raising=False)
    write_mnist(tmp_path / "cache" / "mnist", numbers)
    assert len(dataset.load("mnist", cache_folder=tmp_path / "cache").images) == 69


def test_absent_mnist_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("MEZZOTINT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"nowhere.*hub:ylecun/mnist"):
        dataset.load("mnist", cache_folder=tmp_path)


@pytest.mark.fashion
def test_fashion_mnist_is_what_it_should_be(cache_folder):
    found = dataset.load("fashion-mnist")
    assert found.images.shape == (70_000, 28, 28, 1)
    assert np.bincount(found.labels).tolist() == [7000] * 10
    assert found.splits["test"].tolist() == list(range(60_000, 70_000))
    assert len(found.splits["validation"]) == pytest.approx(3000, abs=150)  # 3 standard deviations of 60,000 · 5 %
    assert found.classes[9] == "ankle boot"


def test_digits_reach_from_black_to_white():
    found = dataset.load("digits")
    assert found.images.shape == (1797, 8, 8, 1)
    assert np.unique(found.images).tolist() == [round(level * 255 / 16) for level in range(17)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        b"\0\0\x08\x01\0\0\0\x05abc",
        b"\0\0\x0d\x01\0\0\0\x01abcd",
        b"\x1f\x8b\x08broken",
        b"\0\0\x08\x03" + b"\xff" * 12,
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde", mtime=0)[:-9],
    ],
)
def test_damaged_idx_is_one_sentence(tmp_path, data):
    (tmp_path / "x.gz").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.gz is damaged"):
        formats.read_idx(tmp_path / "x.gz")


def test_idx_files_that_do_not_belong_together_are_refused(tmp_path, numbers):
    write_mnist(tmp_path / "m", {**numbers, "train-labels": numbers["train-labels"][:-1]})
    with pytest.raises(UserError, match="do not belong together"):
        dataset.load(tmp_path / "m", cache_folder=tmp_path / "cache")


@pytest.fixture
def cifar() -> list[tuple[np.ndarray, list[int]]]:
    random = np.random.default_rng(1)
    return [(random.integers(0, 256, (4, 3072), dtype=np.uint8), random.integers(0, 10, 4).tolist()) for _ in range(6)]


NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


def as_pictures(cifar: list[tuple[np.ndarray, list[int]]]) -> np.ndarray:
    """Krizhevsky's layout: 1024 red, 1024 green, 1024 blue, each row by row."""
    rows = np.concatenate([rows for rows, _ in cifar])
    return np.stack([rows[:, i * 1024 : (i + 1) * 1024].reshape(-1, 32, 32) for i in range(3)], axis=-1)


@pytest.mark.parametrize("version", ["binary", "python 2", "python 3"])
def test_cifar_gives_its_pictures_and_labels(tmp_path, cifar, version):
    for name, (rows, labels) in zip(NAMES, cifar, strict=True):
        if version == "binary":
            records = np.concatenate([np.array(labels, np.uint8)[:, None], rows], axis=1)
            (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
        else:
            key = (lambda text: text) if version == "python 3" else str.encode
            batch = {key("data"): rows, key("labels"): labels, key("batch_label"): key("a batch")}
            (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    found = dataset.load(tmp_path, cache_folder=tmp_path / "cache")
    assert np.array_equal(found.images, as_pictures(cifar))
    assert found.labels.tolist() == [label for _, labels in cifar for label in labels]
    assert found.splits["test"].tolist() == [20, 21, 22, 23]
    assert found.classes[:2] == ("airplane", "automobile")


class Evil:
    def __init__(self, act: tuple[object, tuple[object, ...]]) -> None:
        self.act = act

    def __reduce__(self):
        return self.act


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_a_malicious_pickle_runs_nothing(tmp_path, kind):
    mark = tmp_path / "it ran"
    act = [
        (os.mkdir, (str(mark),)),
        (eval, (f"open({str(mark)!r}, 'w')",)),
        (getattr, (Evil, "__reduce__")),
        (np.fromfile, (str(tmp_path / "data_batch_1"),)),
    ][kind]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "batch").write_bytes(pickle.dumps({b"data": Evil(act)}, protocol))
        with pytest.raises(UserError, match=r"not opened: it wants to run"):
            formats.read_plain_pickle(tmp_path / "batch")
    assert not mark.exists()


def test_an_array_of_objects_in_a_pickle_can_hold_nothing_that_runs(tmp_path):
    inner = np.array([Evil((os.getcwd, ()))], dtype=object)
    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": inner}))
    with pytest.raises(UserError, match="array of object"):
        formats.read_plain_pickle(tmp_path / "batch")


@pytest.mark.parametrize(
    "what", [[1, 2], {b"data": b"x"}, {b"data": np.zeros((2, 5), np.uint8), b"labels": [1, 2]}, {1: 2}]
)
def test_other_plain_pickles_are_damaged_batches(tmp_path, what):
    for name in NAMES:
        (tmp_path / name).write_bytes(pickle.dumps(what))
    with pytest.raises(UserError, match="data_batch_1"):
        dataset.load(tmp_path, cache_folder=tmp_path / "cache")


class FlaglessObjects:
    """A dtype of objects that says of itself that it holds none: numpy would take raw bytes for their addresses."""

    def __reduce__(self):
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)


class AddressesAsObjects:
    def __reduce__(self):
        make = np.zeros(1).__reduce__()[0]
        return make, (np.ndarray, (0,), b"b"), (1, (4,), FlaglessObjects(), False, b"\x41" * 32)


def test_a_pickle_cannot_make_objects_of_raw_bytes(tmp_path):
    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": AddressesAsObjects()}, protocol=2))
    with pytest.raises(UserError, match="array of object"):
        formats.read_plain_pickle(tmp_path / "batch")


@pytest.mark.parametrize("dtype", ["u1", ">i8", "<f4", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_arrays_come_out_of_a_pickle_as_they_went_in(tmp_path, dtype, order):
    rows = np.asarray(np.arange(12).reshape(3, 4), dtype, order=order)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "batch").write_bytes(pickle.dumps({"data": rows, "labels": [1, 2, 3]}, protocol))
        found = formats.read_plain_pickle(tmp_path / "batch")
        assert found[b"data"].dtype == rows.dtype
        assert np.array_equal(found[b"data"], rows)
        assert found[b"labels"] == [1, 2, 3]


def test_cifar_of_a_wrong_length_is_damaged(tmp_path):
    for name in NAMES:
        (tmp_path / f"{name}.bin").write_bytes(b"x" * 3072)
    with pytest.raises(UserError, match="3073"):
        dataset.load(tmp_path, cache_folder=tmp_path / "cache")


def save_npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


IMAGES = np.random.default_rng(2).integers(0, 256, (30, 6, 6, 3), dtype=np.uint8)


def test_npz_with_labels_classes_and_split(tmp_path):
    given = ["train"] * 20 + ["test"] * 10
    path = save_npz(tmp_path / "x.npz", images=IMAGES, labels=[2, 0, 1] * 10, classes=["a", "b", "c"], split=given)
    found = dataset.load(path, cache_folder=tmp_path)
    assert np.array_equal(found.images, IMAGES)
    assert found.labels.tolist() == [2, 0, 1] * 10
    assert found.classes == ("a", "b", "c")
    assert found.splits["test"].tolist() == list(range(20, 30))
    assert found.name == "x"


def test_npz_with_named_labels_and_grey_pictures_without_a_channel_axis(tmp_path):
    path = save_npz(tmp_path / "x.npz", images=IMAGES[..., 0], labels=["dog", "cat"] * 15)
    found = dataset.load(path, cache_folder=tmp_path)
    assert found.images.shape == (30, 6, 6, 1)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [1, 0] * 15


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"pictures": IMAGES}, "must hold `images`"),
        ({"images": IMAGES.astype(np.float32)}, "uint8"),
        ({"images": IMAGES[0, 0]}, "must hold `images`"),
        ({"images": IMAGES[..., :2]}, "1 or 3 channels"),
        ({"images": IMAGES[:0]}, "at least one pixel"),
        ({"images": IMAGES[:, :0]}, "at least one pixel"),
        ({"images": IMAGES, "labels": [1, 2]}, "`labels` has 2 entries for 30"),
        ({"images": IMAGES, "labels": 3}, "`labels`"),
        ({"images": IMAGES, "labels": np.zeros((30, 2))}, "`labels`"),
        ({"images": IMAGES, "split": ["train"] * 3}, "`split` has 3 entries"),
        ({"images": IMAGES, "split": ["tset"] * 30}, "`split`"),
        ({"images": np.array([{}], dtype=object)}, "plain arrays"),
    ],
)
def test_npz_that_is_not_as_it_should_be_is_one_sentence(tmp_path, arrays, told):
    with pytest.raises(UserError, match=told):
        dataset.load(save_npz(tmp_path / "x.npz", **arrays), cache_folder=tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no archive"])
def test_a_broken_npz_is_one_sentence(tmp_path, data):
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"x.npz cannot be read"):
        dataset.load(tmp_path / "x.npz", cache_folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fashon-mnist", "fashion-mnist"),
        ("digit", "digits"),
        ("no/such/folder", "no folder or file"),
        ("picture.npz", "no folder or file"),
        ("hub:a/b", r"mezzotint\[data\]"),
    ],
)
def test_a_name_of_nothing_is_one_sentence_with_the_nearest_right_one(tmp_path, name, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UserError, match=told):
        dataset.load(name, cache_folder=tmp_path)


def test_a_file_that_is_no_data_set_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(UserError, match="neither a folder"):
        dataset.load(tmp_path / "x.txt", cache_folder=tmp_path)


def listed(root: Path) -> list[str]:
    return [file.path for file in folders.list_folder(root).files]


def test_a_folder_full_of_oddities(folder):
    root = folder(range(3))
    (root / ".hidden.png").write_bytes((root / "0.png").read_bytes())
    (root / ".git").mkdir()
    (root / ".git" / "1.png").write_bytes((root / "0.png").read_bytes())
    (root / "x.png").mkdir()
    (root / "notes.txt").write_text("hello")
    (root / "UPPER.PNG").write_bytes((root / "0.png").read_bytes())
    (root / "loop").symlink_to(root)
    (root / "dangling.png").symlink_to(root / "nothing")
    (root / "self.png").symlink_to(root / "self.png")
    os.mkfifo(root / "pipe.png")
    listing = folders.list_folder(root)
    assert [f.path for f in listing.files] == ["0.png", "1.png", "2.png", "UPPER.PNG"]
    assert listing.others == 1


def test_symlinked_folders_and_files_are_followed(folder):
    root = folder(range(2), "a/{}.png".format)
    elsewhere = folder(range(2, 4), root="elsewhere")
    (root / "b").symlink_to(elsewhere)
    (root / "a" / "more.png").symlink_to(elsewhere / "3.png")
    assert listed(root) == ["a/0.png", "a/1.png", "a/more.png", "b/2.png", "b/3.png"]


@pytest.mark.parametrize("way", [("outer", "outer/inner"), ("outer/inner", "outer")])
def test_folders_that_link_to_each_other_end(folder, way):
    root = folder(range(1), "outer/inner/{}.png".format)
    target, holder = root / way[0], root / way[1]
    (holder / "again").symlink_to(target)
    assert "outer/inner/0.png" in listed(root)


def test_classes_are_sub_folders(folder):
    root = folder(range(6), lambda i: f"{'abc'[i % 3]}/deep/{i}.png")
    listing = folders.list_folder(root)
    assert listing.classes == ("a", "b", "c")
    assert [(f.path[0], f.label) for f in listing.files] == [("a", 0)] * 2 + [("b", 1)] * 2 + [("c", 2)] * 2


def test_a_picture_outside_of_the_class_folders_means_no_classes(folder):
    root = folder(range(6), lambda i: f"{'ab'[i % 2]}/{i}.png" if i else "0.png")
    assert folders.list_folder(root).classes == ()


def test_one_sub_folder_is_no_class(folder):
    assert folders.list_folder(folder(range(3), "only/{}.png".format)).classes == ()


def test_train_and_test_folders_are_splits(folder, tmp_path):
    root = folder(range(40), lambda i: f"{'test' if i % 4 == 0 else 'Train'}/{'ab'[i % 2]}{i // 20}/{i}.png")
    found = dataset.load(root, size=8, cache_folder=tmp_path / "cache")
    assert found.classes == ("a0", "a1", "b0", "b1")
    assert len(found.splits["test"]) == 10
    assert len(found.splits["validation"]) >= 1


def test_given_validation_stays_and_test_is_taken_from_train(folder, tmp_path):
    root = folder(range(60), lambda i: f"{'val' if i < 10 else 'train'}/{'ab'[i % 2]}/{i}.png")
    found = dataset.load(root, size=8, cache_folder=tmp_path / "cache")
    paths = listed(root)
    assert [paths[i].split("/")[0] for i in found.splits["validation"]] == ["val"] * 10
    assert {paths[i].split("/")[0] for i in found.splits["test"]} == {"train"}


def test_a_folder_without_pictures_is_one_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="holds no pictures"):
        dataset.load(tmp_path)


def test_the_same_files_under_another_name_have_their_own_classes(tmp_path):
    """Sizes and times alone do not tell MNIST from Fashion-MNIST."""
    for name in ("mnist", "fashion-mnist", "mine"):
        (tmp_path / name).mkdir()
        for stem, count in (("train", 20), ("t10k", 10)):
            pixels = bytes(i + (100 if name == "mnist" else 0) for i in range(count) for _ in range(4))
            images = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (count, 2, 2)) + pixels
            labels = b"\0\0\x08\x01" + count.to_bytes(4, "big") + bytes(i % 10 for i in range(count))
            for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
                path = tmp_path / name / f"{stem}-{kind}-ubyte"
                path.write_bytes(content)
                os.utime(path, ns=(0, 0))
    found = {n: dataset.load(tmp_path / n, cache_folder=tmp_path) for n in ("mnist", "fashion-mnist", "mine")}
    assert [int(d.images.max()) for d in found.values()] == [119, 19, 19]
    assert [d.classes[0] for d in found.values()] == ["0", "t-shirt", "0"]


def test_npz_classes_are_named_once(tmp_path):
    images = np.zeros((4, 2, 2), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(4) % 2, classes=["a", "a"])
    with pytest.raises(UserError, match="names a class twice"):
        dataset.load(tmp_path / "x.npz", cache_folder=tmp_path / "c")
