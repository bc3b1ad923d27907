"""All verbs by name."""

from cyclopts import App

from mezzotint.cli import look, make, use

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
    look.measure,
    look.audit,
    use.generate,
    use.classify,
    use.reconstruct,
    use.interpolate,
    look.board,
):
    app.command(verb)
