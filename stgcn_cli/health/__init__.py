"""What this machine has, and whether it works, for `stgcn doctor`."""

from collections.abc import Callable, Iterator

from stgcn_cli.health import computing, machine, places, selftest, versions
from stgcn_cli.health.finding import Finding
from stgcn_cli.health.hiding import without_secrets

SECTIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": versions.look,
    "machine": machine.look,
    "computing": computing.look,
    "disk": places.look_at_disk,
    "data": places.look_at_data,
    "caches": places.look_at_caches,
    "environment": machine.look_at_environment,
    "self-test": selftest.look,
}


def examine() -> Iterator[tuple[str, list[Finding]]]:
    """Each section with what was found, home folders and passwords hidden. A section that fails says so; nothing raises."""
    for title, look in SECTIONS.items():
        yield title, [hidden(finding) for finding in _safely(look)]


def _safely(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in look():
            found.append(finding)
    except Exception as error:  # a report about a broken machine must not break with it
        told = f"{type(error).__name__}: {error}"[:300]
        found.append(Finding("cannot be told", told, "Send this report with what you did before."))
    return found


def hidden(finding: Finding) -> Finding:
    """The finding, fit to be shown to strangers."""
    return Finding(finding.name, without_secrets(finding.value), without_secrets(finding.advice))
