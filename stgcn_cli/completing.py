"""What a shell offers after TAB where the program knows the words; file names are the shell's business."""

from collections.abc import Callable

from stgcn_cli.arguments import DEVICES, PRECISIONS

Offer = Callable[[str], list[str]]


def one_of(*words: str) -> Offer:
    """Offers the `words` that begin like what was typed; where none does, the shell offers files."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return offer


devices = one_of(*DEVICES)
precisions = one_of(*PRECISIONS)


def presets(incomplete: str) -> list[str]:
    """Offers presets by their short names; the published ones once a letter tells that they are meant."""
    from stgcn_cli import catalog
    from stgcn_cli import presets as library

    published = [entry.name for entry in catalog.PUBLISHED] if incomplete else []
    return one_of(*library.names(), *published)(incomplete)


def checkpoints(incomplete: str) -> list[str]:
    """Offers published weights once something is typed: before, files are meant."""
    from stgcn_cli import catalog

    return one_of(*(entry.preset for entry in catalog.PUBLISHED))(incomplete) if incomplete else []


def layouts(incomplete: str) -> list[str]:
    """Offers the built-in skeletons."""
    from stgcn_cli.skeleton import LAYOUTS

    return one_of(*LAYOUTS)(incomplete)


def formats(incomplete: str) -> list[str]:
    """Offers the formats of skeleton files."""
    from stgcn_cli.data.formats import FORMATS

    return one_of(*FORMATS)(incomplete)
