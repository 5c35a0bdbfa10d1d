"""`prepare --raw`: PYSKL's choice of bodies, and that each kind of clips is refused where the other is expected."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from stgcn_cli.config import presets
from stgcn_cli.data import preflight
from stgcn_cli.data.ntu.raw_bodies import read_raw
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.errors import DataError
from tests.conftest import make_records


def test_every_record_of_the_references_reader(shared):
    golden = shared / "golden"
    records = json.loads((golden / "pyskl" / "prepare" / "raw60_3danno.json").read_text())["records"]
    with zipfile.ZipFile(golden / "prepare" / "raw60.zip") as archive:
        texts = {name.rpartition("/")[2].partition(".")[0]: name for name in archive.namelist()}
        assert len(records) > 40
        for name, shape, *figures in records:
            if shape is None:
                with pytest.raises(DataError):
                    read_raw(archive.read(texts[name]))
                continue
            got = read_raw(archive.read(texts[name]))
            assert list(got.shape) == shape and got.dtype == np.float16, name
            values = got.astype(np.float64)
            assert [values.sum(), (values**2).sum()] == pytest.approx(figures[:2], rel=1e-12), name
            assert values.ravel()[np.linspace(0, got.size - 1, 9).astype(int)].tolist() == figures[2], name


@pytest.mark.parametrize(
    ("preset", "metres", "command"),
    [("ntu60-xsub-3d", 3.0, "stgcn prepare ntu60\n"), ("ntu60-xsub-3d-uniform", 0.0, "stgcn prepare ntu60 --raw")],
)
def test_the_other_kind_of_clips_is_refused(tmp_path, preset, metres, command):
    records = make_records(3)
    for record in records:
        record["keypoint"][..., 2] += metres
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records))
    split = Split("all", open_stores([tmp_path / "x.pkl"])[0], np.arange(3))
    with pytest.raises(DataError) as refused:
        preflight.check(presets.load(preset), split, training=False)
    assert command in refused.value.hint
    other = {"ntu60-xsub-3d": "ntu60-xsub-3d-uniform", "ntu60-xsub-3d-uniform": "ntu60-xsub-3d"}[preset]
    preflight.check(presets.load(other), split, training=False)
