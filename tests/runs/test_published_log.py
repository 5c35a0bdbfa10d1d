"""The published training logs, in both their forms, beside our own curve."""

import pytest

from stgcn_cli.runs.log import read_published
from stgcn_cli.viz import plots

JSON_LINES = """{"env_info": "sys.platform: linux", "seed": 0}
{"mode": "train", "epoch": 1, "iter": 100, "lr": 0.1, "memory": 999, "top1_acc": 0.25, "loss": 4.0, "time": 0.5}
{"mode": "train", "epoch": 1, "iter": 200, "lr": 0.1, "top1_acc": 0.75, "loss": 2.0}
{"mode": "val", "epoch": 1, "iter": 50, "lr": 0.1, "top1_acc": 0.5, "mean_class_accuracy": 0.4}
{"mode": "train", "epoch": 2, "iter": 100, "lr": 0.01, "top1_acc": 1.0, "loss": NaN}
{"mode": "train", "epoch": 2, "iter": 2
"""
WORDS = (
    "2021-12-09 10:00:00,123 - mmaction - INFO - Epoch [1][100/200]\tlr: 1.000e-01, eta: 1 day, 2:03:04, time: 0.500, "
    "memory: 999, top1_acc: 0.2500, loss: 4.0000, grad_norm: 0.5\n"
    "2021-12-09 10:01:00,123 - mmaction - INFO - Epoch [1][200/200]\tlr: 1.000e-01, top1_acc: 0.7500, loss: 2.0000\n"
    "2021-12-09 10:02:00,123 - mmaction - INFO - Epoch(val) [1][50]\ttop1_acc: 0.5000, mean_class_accuracy: 0.4000\n"
    "2021-12-09 10:03:00,123 - mmaction - INFO - Epoch [2][100/200]\tlr: 1.000e-02, top1_acc: 1.0000, loss: nan\n"
)


@pytest.mark.parametrize("text", [JSON_LINES, WORDS])
def test_both_forms_give_the_same_records(tmp_path, text):
    (tmp_path / "x.log").write_text(text)
    first, second, check = read_published(tmp_path / "x.log")
    assert first == {"mode": "epoch", "epoch": 1, "lr": 0.1, "loss": 3.0, "top1_acc": 0.5}
    assert second == {"mode": "epoch", "epoch": 2, "lr": 0.01, "top1_acc": 1.0}
    assert (check["mode"], check["epoch"], check["top1_acc"], check["mean_class_accuracy"]) == ("val", 1, 0.5, 0.4)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'{}\n[]\n{"mode": 3}\n', b'{"mode": "val", "epoch": 1e99}'])
def test_what_is_no_log_gives_nothing(tmp_path, content):
    (tmp_path / "x.log").write_bytes(content)
    assert read_published(tmp_path / "x.log") == [] == read_published(tmp_path / "absent.log")


def test_it_is_drawn_beside_our_own(tmp_path):
    (tmp_path / "x.log").write_text(WORDS)
    ours = [{"mode": "epoch", "epoch": e, "lr": 0.1, "loss": 3 - e, "top1_acc": 0.2 * e} for e in (1, 2)]
    ours.append({"mode": "val", "epoch": 2, "top1_acc": 0.3})
    for name, published in {"alone.png": (), "both.png": read_published(tmp_path / "x.log")}.items():
        plots.save(plots.curves(ours, "a preset", published), tmp_path / name)
    alone, both = ((tmp_path / name).read_bytes() for name in ("alone.png", "both.png"))
    assert alone[:4] == both[:4] == b"\x89PNG" and alone != both
