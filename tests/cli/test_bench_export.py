"""bench --export measures torch beside what export writes."""

import json

import pytest


@pytest.mark.slow
def test_rows_of_torch_and_of_exports(stgcn):
    done = stgcn("bench", "--export", "--set", "data.clip_len=8", "--rounds", "2", "--batch-size", "1", "--json")
    rows = json.loads(done.out)["rows"]
    assert [row["name"] for row in rows] == ["torch", "torch plain", "torch bf16", "onnx", "onnx int8"]
    assert all(row["clips_per_s"] > 0 and row["latency"]["p50"] <= row["latency"]["p95"] for row in rows)
    assert rows[4]["size"] < 0.35 * rows[3]["size"] and all(len(row["seconds"]["window"]) == 2 for row in rows)


def test_options_that_do_not_go_together(stgcn):
    assert stgcn("bench", "--export", "--device", "cuda").code == 2
