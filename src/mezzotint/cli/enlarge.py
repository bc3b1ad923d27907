"""`augment`: drawn pictures for a labelled data set, and whether they help."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mezzotint.cli import make
from mezzotint.cli.use import Classes
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.benefit import Asked
    from mezzotint.data.dataset import Dataset
    from mezzotint.enlarge import Sure
    from mezzotint.model import Model

Shots = Annotated[tuple[int, ...], Parameter(negative="", consume_multiple=True)]


def augment(
    run: Path,
    /,
    *,
    classes: Classes = (),
    per_class: int = 100,
    out: Path = Path("augmented"),
    recogniser: Path | None = None,
    certainty: float | None = None,
    seed: int = 0,
    judge: Annotated[bool, Parameter(negative="")] = False,
    data: str | None = None,
    shots: Shots = (10, 50, 200),
    seeds: int = 5,
    retrain: Annotated[
        str | None,
        Parameter(help="With --judge: also train the generator anew on the few pictures alone, for so many: 20k."),
    ] = None,
) -> None:
    """Draw pictures by class with the model of RUN to enlarge a data set; --judge tells whether they help.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must draw by class (flow, r3gan, biggan).
    classes:
        What to draw (default: all classes).
    per_class:
        How many pictures of each.
    out:
        A new folder: a sub-folder a class, and manifest.json.
    recogniser:
        A run of a recogniser; only pictures are kept of whose class it is sure.
    certainty:
        How sure it has to be: the least probability of the class asked for (default 0.8).
    seed:
        The first picture's seed.
    judge:
        Train recognisers on a few real pictures with and without the drawn ones, and compare them in pairs.
    data:
        With --judge: other pictures than those that the generator was trained on.
    shots:
        With --judge: how many real pictures of each class.
    seeds:
        With --judge: how often.
    """
    from mezzotint import api, benefit, enlarge
    from mezzotint.model import load

    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"--out takes a new folder, and {out} is not empty: name another one")
    if not judge and (data, shots, seeds, retrain) != (None, (10, 50, 200), 5, None):
        raise UserError("--data, --shots, --seeds and --retrain tell how to judge: give --judge with them")
    if certainty is not None and recogniser is None and retrain is None:
        raise UserError("--certainty is a recogniser's: give --recogniser with it, or --judge and --retrain")
    certainty = 0.8 if certainty is None else certainty
    benefit.refuse_odd_certainty(certainty)
    api.refuse_odd_seed(seed)
    model, sieve = load(run), None if recogniser is None else load(recogniser)
    asked = None
    if judge:
        asked = benefit.Asked(tuple(dict.fromkeys(shots)), seeds, make.count(retrain), certainty)
    question = None if asked is None else (_data_to_judge_on(run, model, data, max(asked.shots)), asked)
    names = list(classes) or list(model.spec.classes)
    sure = enlarge.draw_sure(model.method, names, per_class, None if sieve is None else sieve.method, certainty, seed)
    facts = {
        "generator": f"{model.recipe.name} {model.card['weights']}",
        "filtered_by": None if sieve is None else f"{sieve.recipe.name} {sieve.card['weights']}",
        "certainty": None if sieve is None else certainty,
    }
    enlarge.write(out, sure, model.spec.classes, facts)
    for name, drawn in sure.tried.items():
        kept = sure.kept(model.spec.classes.index(name))
        short = "" if kept == per_class else f": the recogniser is not sure of more among {drawn}"
        print(f"{name}: {kept} of {drawn} drawn{short}")
    print(f"{len(sure.images)} pictures in {out}")
    if question is not None:
        seen = {"seen_by_generator": model.card["data_digest"]}
        seen |= {} if sieve is None else {"seen_by_filter": sieve.card["data_digest"]}
        _judge(question, sure, model, facts | seen, out)


def _data_to_judge_on(run: Path, model: "Model", source: str | None, shots: int) -> "Dataset":
    """The pictures of --data, else those that the run was trained on; mistakes are told before anything is drawn."""
    from mezzotint import api, benefit
    from mezzotint.catalog import kinds
    from mezzotint.training.run import find

    if source is not None:
        dataset = api.load_data(replace(model.recipe, data=replace(model.recipe.data, source=source)))
    elif not (run / "run.json").is_file():
        raise UserError(f"{run} is a model without its run and does not know where its pictures lie: give --data")
    else:
        recipe = find(run).recipe(kinds())
        dataset = api.load_data(recipe)
        if dataset.digest != model.card["data_digest"]:
            raise UserError(
                f"the pictures in {recipe.data.source} are not those that {run} was trained on: name some with --data"
            )
    model.check_fit(dataset)
    benefit.few_of(dataset, shots, 0)
    return dataset


def _judge(question: "tuple[Dataset, Asked]", sure: "Sure", model: "Model", facts: dict[str, Any], out: Path) -> None:
    from mezzotint import benefit
    from mezzotint.cli.judge import show_table
    from mezzotint.files import write_whole

    dataset, asked = question
    found = benefit.judge(dataset, sure, model.recipe, asked, facts, lambda line: print(line, flush=True))
    show_table(benefit.GAINS, benefit.gains(found))
    show_table(*benefit.by_class(found))
    for note in found.notes:
        print(f"  {note}")
    write_whole(out / "benefit.json", found.to_json())
    write_whole(out / "benefit.html", benefit.report(found))
    print(f"written to {out / 'benefit.json'} and {out / 'benefit.html'}")
