"""All verbs by name."""

from cyclopts import App

from mezzotint.cli import enlarge, find, foresee, judge, latent, look, make, pack, recognize, use
from mezzotint.cli.edit import edit

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
    recognize.classify,
    recognize.explain,
    recognize.labels,
    use.reconstruct,
    use.interpolate,
    use.latent,
    find.detect,
    enlarge.augment,
    foresee.forecast,
    latent.encode,
    latent.atlas,
    latent.steer,
    latent.arithmetic,
    latent.neighbors,
    latent.outliers,
    pack.compress,
    pack.decompress,
    pack.inspect,
    look.board,
):
    app.command(verb)
app.command(edit)
