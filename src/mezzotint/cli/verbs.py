"""All verbs by name."""

from cyclopts import App

from mezzotint.cli import judge, look, make, pack, use

app = App(
    name="mezzotint",
    help="Train, judge and use image models on your own pictures.",
    version=look.version,
    result_action="return_value",
)
for verb in (
    make.train,
    look.recipes,
    look.check,
    look.show,
    judge.measure,
    judge.validity,
    judge.audit,
    judge.compare,
    judge.arena,
    use.generate,
    use.classify,
    use.reconstruct,
    use.interpolate,
    pack.compress,
    pack.decompress,
    pack.inspect,
    look.board,
):
    app.command(verb)
