"""Class names of the published data sets."""

from pathlib import Path

from stgcn_cli.config.schema import Preset
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import shown

_SMALLER_RELEASE = {"ntu120": 60, "babel120": 60}  # the first 60 classes are those of NTU 60 and BABEL-60


def class_names(preset: Preset) -> list[str]:
    """The name of every class from the preset's list, else "class 0", "class 1", …

    A list holds only for as many classes as its data set has in one of its releases: ten classes are not NTU's first ten.
    """
    count, named = preset.model.num_classes, []
    if isinstance(preset.data.classes, tuple):
        return list(preset.data.classes)
    if preset.data.classes:
        path = Path(__file__).parent / "class_names" / f"{Path(preset.data.classes).name}.txt"
        if not path.is_file():
            known = sorted(p.stem for p in path.parent.glob("*.txt"))
            raise UsageError(
                f"List of class names {shown(preset.data.classes)} not found.", f"Known: {', '.join(known)}"
            )
        listed = path.read_text("utf-8").splitlines()
        named = listed[:count] if count in (len(listed), _SMALLER_RELEASE.get(path.stem)) else []
    return named or [f"class {index}" for index in range(count)]
