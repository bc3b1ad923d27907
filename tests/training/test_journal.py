from pathlib import Path

import numpy as np

from mezzotint.training import journal
from mezzotint.training.journal import Journal


def write(folder: Path, *events: tuple[str, int]) -> None:
    log = Journal(folder)
    for event, images in events:
        log.write(event, images, note="x")
    log.close()


def told(folder: Path) -> list[tuple[str, int]]:
    return [(e["event"], e["images"]) for e in journal.read(folder / "journal.jsonl")]


def test_what_is_done_over_is_told_once(tmp_path: Path) -> None:
    write(tmp_path, ("begin", 0), ("train", 100), ("checkpoint", 100), ("train", 200), ("refused", 150))
    write(tmp_path, ("resume", 100), ("train", 200), ("train", 300))
    assert told(tmp_path) == [
        ("begin", 0),
        ("train", 100),
        ("checkpoint", 100),
        ("resume", 100),
        ("train", 200),
        ("train", 300),
    ]


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    write(tmp_path, ("begin", 0), ("train", 100))
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"event": "train", "ima')
    write(tmp_path, ("resume", 50), ("train", 100))
    assert told(tmp_path) == [("begin", 0), ("resume", 50), ("train", 100)]


def test_no_journal_is_no_events(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "none.jsonl") == []


def test_lines_are_on_disk_as_they_are_written(tmp_path: Path) -> None:
    log = Journal(tmp_path)
    log.write("begin", 0)
    assert told(tmp_path) == [("begin", 0)]
    log.close()


def test_tensorboard_reads_scalars_and_pictures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = Journal(tmp_path)
    log.scalars(10, {"loss/a": 1.5})
    log.scalars(20, {"loss/a": 0.5})
    log.picture(20, "samples", np.zeros((4, 6, 1), np.uint8))
    log.close()
    again = Journal(tmp_path, purge_from=11)
    again.scalars(20, {"loss/a": 0.25})
    again.close()
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/a")] == [(10, 1.5), (20, 0.25)]
    assert events.Tags()["images"] == ["samples"]


def test_a_run_that_begins_again_forgets_its_first_try(tmp_path: Path) -> None:
    for rate in (1, 2):
        log = Journal(tmp_path)
        log.write("begin", 0)
        log.write("train", 100, rate=rate)
        log.close()
    assert [e.get("rate") for e in journal.read(tmp_path / "journal.jsonl")] == [None, 2]
