"""Names of clips that differ in a folder or a suffix only: "D:\\clips\\v0.npy", "clips/v0.npy" and "v0" are one clip."""

import re
from collections.abc import Iterable

_SUFFIX = re.compile(r"\.(?:[A-Za-z][A-Za-z0-9]{1,8}|7z)$")


def parts_of(name: str) -> tuple[str, ...]:
    """The folders and the last part of a name, which has no suffix; drives and leading dots do not count."""
    parts = [part for part in re.split(r"[\\/]+", name.strip()) if part not in ("", ".") and not part.endswith(":")]
    while parts and (plain := _SUFFIX.sub("", parts[-1])) and plain != parts[-1]:
        parts[-1] = plain
    return tuple(parts)


class NameIndex:
    """Names to find others by: one is found when all parts of the shorter name are the last parts of the longer one."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_last: dict[str, dict[str, tuple[str, ...]]] = {}
        self._names = set()
        for name in names:
            self._names.add(name)
            if parts := parts_of(name):
                self._by_last.setdefault(parts[-1], {})[name] = parts

    def find(self, name: str) -> str | None:
        """The name itself, else the only one that differs from it in leading folders or the suffix; None without one."""
        if name in self._names:
            return name
        parts = parts_of(name)
        found = []
        for other, theirs in self._by_last.get(parts[-1], {}).items() if parts else ():
            shared = min(len(parts), len(theirs))
            if parts[-shared:] == theirs[-shared:]:
                found.append(other)
        return found[0] if len(found) == 1 else None
