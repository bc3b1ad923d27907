"""Adversarial recipes."""

from mezzotint.methods.cogan import CoganConfig
from mezzotint.methods.gan import GanConfig
from mezzotint.methods.lapgan import LapganConfig
from mezzotint.networks.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from mezzotint.networks.dense import DenseGeneratorConfig
from mezzotint.networks.progan import ProganDiscriminatorConfig, ProganGeneratorConfig
from mezzotint.networks.r3gan import R3ganDiscriminatorConfig, R3ganGeneratorConfig
from mezzotint.networks.residual_gan import ResidualDiscriminatorConfig, ResidualGeneratorConfig
from mezzotint.recipe import Averaging, Optimizer, Recipe
from mezzotint.types import DataSpec


def _players(generator: float, discriminator: float) -> dict[str, Optimizer]:
    """Adam with the short momentum of Radford et al. 2016 at these rates, which fade out at the end."""
    short = (0.5, 0.999)
    return {"generator": _adam(generator, short), "discriminator": _adam(discriminator, short)}


def _adam(lr: float, betas: tuple[float, float] = (0.0, 0.9)) -> Optimizer:
    """Adam at a rate that fades out over the last third."""
    return Optimizer(name="adam", lr=lr, betas=betas, schedule="linear", decay_from=0.7, final=0.1)


def gan_mlp(spec: DataSpec, minutes: float) -> Recipe:
    """The tutorials' first GAN (Goodfellow et al. 2014): a dense 128 → picture generator against 5×5 convolutions.

    As the tutorials train it, every seed soon draws the same picture. What helps: a narrow discriminator that R1
    (Mescheder et al. 2018) keeps smooth, small batches, and a generator that learns faster.
    """
    return Recipe(
        name="gan-mlp",
        method=GanConfig(
            generator=DenseGeneratorConfig(widths=(128,)),
            discriminator=DcganDiscriminatorConfig(width=16, kernel=5, norm="none", dropout=0.3, radford=False),
            latent=128,
            turns="alternating",
            penalty="r1",
        ),
        optimizers=_players(1e-3, 5e-4),
        batch=32,
        averaging=Averaging(share=0.05),
    )


def dcgan(spec: DataSpec, minutes: float) -> Recipe:
    """Transposed convolutions of stride 2 with batch norm (Radford et al. 2016), by class where there are classes.

    One pass serves both players.
    """
    return Recipe(
        name="dcgan",
        method=GanConfig(
            generator=DcganGeneratorConfig(width=64),
            discriminator=DcganDiscriminatorConfig(width=64, norm="none", dropout=0.2),
            latent=100,
            turns="together",
            conditional=bool(spec.classes),
        ),
        optimizers=_players(2e-4, 2e-4),
        batch=64,
        averaging=Averaging(share=0.05),
    )


def dcgan_tutorial(spec: DataSpec, minutes: float) -> Recipe:
    """The TensorFlow tutorial's DCGAN: 5×5 kernels, leaky ReLU of slope 0.3, a stride-1 stem, dropout of 0.3.

    The networks are the tutorial's. Its long momentum and batches of 256 want hours: Radford's optimizer and small
    batches draw clothes within minutes.
    """
    return Recipe(
        name="dcgan-tutorial",
        method=GanConfig(
            generator=DcganGeneratorConfig(width=64, kernel=5, leak=0.3, stem=True, radford=False),
            discriminator=DcganDiscriminatorConfig(
                width=64, kernel=5, leak=0.3, norm="none", dropout=0.3, radford=False
            ),
            latent=100,
            turns="together",
        ),
        optimizers=_players(2e-4, 2e-4),
        batch=32,
        averaging=Averaging(share=0.05),
    )


def lapgan(spec: DataSpec, minutes: float) -> Recipe:
    """A pyramid of conditional GANs (Denton et al. 2015): a small picture, then what each doubling of it lacks."""
    return Recipe(
        name="lapgan",
        method=LapganConfig(conditional=bool(spec.classes)),
        optimizers=_players(1e-3, 5e-4),
        batch=32,
        averaging=Averaging(share=0.05),
    )


def cogan(spec: DataSpec, minutes: float) -> Recipe:
    """Coupled GANs (Liu & Tuzel 2016): pictures and their edges from one noise, learned without pairs.

    All layers but the pixels' own are shared, which is what makes a drawn picture and its drawn edges belong together.
    """
    return Recipe(
        name="cogan",
        method=CoganConfig(conditional=bool(spec.classes)),
        optimizers=_players(2e-4, 2e-4),
        batch=64,
        averaging=Averaging(share=0.05),
    )


def lsgan(spec: DataSpec, minutes: float) -> Recipe:
    """Least squares instead of cross-entropy (Mao et al. 2017): a drawn picture is pulled in even where it fools.

    The networks are those of `dcgan`.
    """
    return Recipe(
        name="lsgan",
        method=GanConfig(
            generator=DcganGeneratorConfig(width=64),
            discriminator=DcganDiscriminatorConfig(width=64, norm="none", dropout=0.2),
            latent=100,
            loss="least-squares",
        ),
        optimizers=_players(5e-4, 2e-4),
        batch=32,
        averaging=Averaging(share=0.05),
    )


def wgan(spec: DataSpec, minutes: float) -> Recipe:
    """The Wasserstein distance, by a critic whose weights are clipped (Arjovsky et al. 2017, algorithm 1).

    Five steps of the critic to one of the generator, RMSprop and clipping at 0.01 as in the paper; ten times its rate
    and half its batch, since budgets here are minutes.
    """
    rmsprop = Optimizer(name="rmsprop", lr=5e-4, momentum=0.0, schedule="linear", decay_from=0.7, final=0.1)
    return Recipe(
        name="wgan",
        method=GanConfig(
            generator=DcganGeneratorConfig(width=64),
            discriminator=DcganDiscriminatorConfig(width=64),
            latent=100,
            loss="wasserstein",
            penalty="clipping",
            penalty_weight=0.01,
            discriminator_steps=5,
        ),
        optimizers={"generator": rmsprop, "discriminator": rmsprop},
        batch=32,
        averaging=Averaging(share=0.05),
    )


def wgan_gp(spec: DataSpec, minutes: float) -> Recipe:
    """The Wasserstein distance, by a critic whose slope is held at 1 (Gulrajani et al. 2017, algorithm 1).

    Five steps of the critic to one of the generator as in the paper; ten times its rate and half its batch, since
    budgets here are minutes. The networks are those of `dcgan`.
    """
    return Recipe(
        name="wgan-gp",
        method=GanConfig(
            generator=DcganGeneratorConfig(width=64),
            discriminator=DcganDiscriminatorConfig(width=64, norm="none", radford=False),
            latent=128,
            loss="wasserstein",
            penalty="gradient",
            penalty_weight=10.0,
            discriminator_steps=5,
        ),
        optimizers={"generator": _adam(1e-3), "discriminator": _adam(1e-3)},
        batch=32,
        averaging=Averaging(share=0.05),
    )


def sngan(spec: DataSpec, minutes: float) -> Recipe:
    """Residual networks, hinge loss and spectral normalization (Miyato et al. 2018), by class where there are classes.

    Classes tune the generator's norms and enter the discriminator as a projection (Miyato & Koyama 2018).
    """
    return Recipe(
        name="sngan",
        method=GanConfig(
            generator=ResidualGeneratorConfig(width=16, most=128),
            discriminator=ResidualDiscriminatorConfig(width=32, most=128, spectral=True),
            latent=128,
            loss="hinge",
            conditional=bool(spec.classes),
        ),
        optimizers={"generator": _adam(5e-4), "discriminator": _adam(1e-3)},
        batch=32,
        averaging=Averaging(share=0.05),
    )


def biggan(spec: DataSpec, minutes: float) -> Recipe:
    """BigGAN (Brock et al. 2019), narrow: attention, noise that is split, a shared class code, orthogonal weights.

    The paper's own size is a matter of settings; see `mezzotint.networks.residual_gan`.
    """
    attention = _attended(spec)
    return Recipe(
        name="biggan",
        method=GanConfig(
            generator=ResidualGeneratorConfig(
                width=16, most=128, attention=attention, code=32, split=True, orthogonal=True, spectral=True
            ),
            discriminator=ResidualDiscriminatorConfig(
                width=32, most=128, attention=attention, orthogonal=True, spectral=True
            ),
            latent=120,
            loss="hinge",
            conditional=bool(spec.classes),
        ),
        optimizers={"generator": _adam(5e-4, (0.0, 0.99)), "discriminator": _adam(1e-3, (0.0, 0.99))},
        batch=32,
        averaging=Averaging(share=0.05),
    )


def _attended(spec: DataSpec) -> int:
    """Half of the picture's side, where there is a block of that side; at most 64."""
    side = spec.height // 2
    while side > 64:
        side //= 2
    return side if side >= 8 else 0


def progan(spec: DataSpec, minutes: float) -> Recipe:
    """Progressive growing (Karras et al. 2018): pictures of a few pixels first, then new layers are faded in.

    Pixel norm, equalized learning rates and minibatch deviation are the paper's. R1 stands in for its gradient penalty,
    which asks for the slope between pictures: a critic that compares the pictures of a batch has none of one picture.
    """
    return Recipe(
        name="progan",
        method=GanConfig(
            generator=ProganGeneratorConfig(width=16),
            discriminator=ProganDiscriminatorConfig(width=16),
            latent=32,  # noise of unit length a number: among more of them the class would hardly be heard
            penalty="r1",
            penalty_weight=1.0,
            penalty_every=4,
            conditional=bool(spec.classes),
        ),
        optimizers={"generator": _adam(2e-3, (0.0, 0.99)), "discriminator": _adam(2e-3, (0.0, 0.99))},
        batch=32,
        averaging=Averaging(share=0.05),
    )


def r3gan(spec: DataSpec, minutes: float) -> Recipe:
    """Relativistic pairing with R1 and R2 and residual networks without norms (Huang et al. 2024, "R3GAN").

    Drawn pictures are judged beside real ones, and the discriminator's slope is held down at both. One pass serves both
    players: the slope at drawn pictures, which R2 asks for anyway, is the generator's gradient.
    """
    return Recipe(
        name="r3gan",
        method=GanConfig(
            generator=R3ganGeneratorConfig(),
            discriminator=R3ganDiscriminatorConfig(),
            latent=64,
            loss="relativistic",
            penalty="r1-r2",
            penalty_weight=5.0,
            turns="together",
            conditional=bool(spec.classes),
        ),
        optimizers={"generator": _adam(2e-3, (0.0, 0.99)), "discriminator": _adam(1e-3, (0.0, 0.99))},
        batch=32,
        averaging=Averaging(share=0.05),
    )
