"""What a recipe costs beside another, as `python -m tests.cost` measures it."""

import json

from tests import cost
from tests.conftest import SMALL


def test_a_recipe_of_more_epochs_costs_more(small_data, monkeypatch, capsys):
    pickle, small = str(small_data / "ntu60.pkl"), [word for word in SMALL if "=" in word]
    words = ["cost", pickle, "ntu60-xsub-3d", "ntu60-xsub-3d", "--a", *small, "train.epochs=1", "--b", *small]
    monkeypatch.setattr("sys.argv", [*words, "train.epochs=100", "--steps", "1"])
    cost.main()
    measured = json.loads(capsys.readouterr().out)
    assert measured["B/A"]["training"] > 5 and 0 < measured["A"]["data_share"] < 1
