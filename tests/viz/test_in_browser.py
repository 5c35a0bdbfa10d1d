"""The pages in a real browser: they render, nothing is complained of, nothing is asked of a network, and they work."""

import numpy as np
import pytest

from stgcn_cli.config import presets
from stgcn_cli.config.skeletons import COCO, NTU
from stgcn_cli.evaluation.metrics import most_confused
from stgcn_cli.evaluation.score import EvalResult, measured
from stgcn_cli.viz.html.clip import ClipPrediction, clip_page, layout_page
from stgcn_cli.viz.html.report import Report, Scored, report_page
from stgcn_cli.viz.skeleton import motion_of
from tests.factories import browser as browsers
from tests.viz.test_page import HOSTILE, moving


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser, or a skip that says how to get one."""
    program = browsers.found()
    if not program:
        pytest.skip(f"no browser: none of {', '.join(browsers.NAMES)} is installed (Debian: apt-get install chromium)")
    with browsers.open_browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def show(browser, tmp_path):
    """show(page, …) opens the page; at the end there must be no complaint and no request but for the page itself."""
    browser.complaints.clear()
    browser.requests.clear()

    def shown(page, **how):
        (tmp_path / "page.html").write_bytes(page.encode("utf-8", "replace"))
        browser.show(tmp_path / "page.html", **how)
        return browser

    yield shown
    assert not browser.complaints
    assert not [url for url in browser.requests if not url.startswith(("file:", "data:"))]


@pytest.fixture(scope="module")
def report():
    """A report of sixty classes, with wicked names, curves and eight clips."""
    rng = np.random.default_rng(0)
    preset = presets.load("babel60")
    labels = rng.integers(0, 60, 300)
    scores = rng.normal(size=(300, 60)) + 2 * np.eye(60)[labels]
    names = [f"{HOSTILE}{i}" for i in range(300)]
    result = measured(EvalResult(preset, "val", scores.astype(np.float32), labels, names, {}))
    motion = motion_of(HOSTILE, moving(2, 40), NTU)
    pairs = [(pair, motion) for pair in most_confused(result.scores, result.labels, 8)]
    log = [{"mode": "epoch", "epoch": e, "lr": 0.1, "loss": 1 / e, "top1_acc": 0.5} for e in (1, 2, 3)]
    return report_page(
        Report(title="A report", preset=preset, scored=[Scored("best.pth", result, pairs, np.arange(60) + 1)], log=log)
    )


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (400, "light")])
def test_a_report_renders(show, report, width, scheme):
    page = show(report, width=width, scheme=scheme)
    assert page.run("document.querySelectorAll('.player canvas').length") == 8
    assert page.run("document.documentElement.scrollWidth") <= width
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if scheme == "dark" else "rgb(255, 255, 255)")
    assert _ink(page, ".matrix canvas") > 1000 and _ink(page, ".player canvas") > 300
    assert (
        page.run(
            "Math.max(...[...document.querySelectorAll('figure svg')].map(each => each.getBoundingClientRect().height))"
        )
        > 100
    )


def _ink(page, selector):
    """Pixels of a canvas that are not empty."""
    return page.run(
        f"(() => {{ const c = document.querySelector('{selector}');"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
    )


def test_a_click_on_a_heading_sorts(show, report):
    page = show(report)

    def column(index):
        return page.run(
            f"[...document.querySelectorAll('table.sortable tbody tr')].map((r) => r.cells[{index}].textContent)"
        )

    share = [float(text.rstrip(" %")) for text in column(1)]
    assert share == sorted(share, reverse=True) and len(share) == 60
    page.click("table.sortable th:nth-child(3) button")
    clips = [int(text) for text in column(2)]
    assert clips == sorted(clips, reverse=True) and clips[0] > clips[-1]
    page.click("table.sortable th:nth-child(2) button")
    page.click("table.sortable th:nth-child(2) button")
    assert [float(text.rstrip(" %")) for text in column(1)] == sorted(share)
    assert page.run("document.querySelector('table.sortable th:nth-child(2)').getAttribute('aria-sort')") == "ascending"
    page.click("table.sortable th:nth-child(1) button")
    assert column(0)[0] < column(0)[-1] and column(0)[0].startswith("a")
    page.click("table.sortable th:nth-child(5) button")
    groups = column(4)
    assert sorted(range(60), key=lambda i: ("head", "middle", "tail").index(groups[i])) == list(range(60))


def test_the_player_plays_scrubs_and_turns(show, report):
    page = show(report)
    player = "document.querySelector('.player')"
    assert page.run(f"{player}.dataset.frame") == "0"
    page.click(".player .play")
    page.until(f"+{player}.dataset.frame > 2")
    page.click(".player .play")
    stopped = page.run(f"+{player}.dataset.frame")
    page.run(f"{player}.focus()")
    page.press("ArrowRight")
    assert page.run(f"+{player}.dataset.frame") == (stopped + 1) % 40
    page.press("Home")
    assert page.run(f"{player}.dataset.frame") == "0" and "frame 1 of 40" in page.run(f"{player}.textContent")
    page.run(
        f"(() => {{ const s = {player}.querySelector('input'); s.value = 7; s.dispatchEvent(new Event('input')); }})()"
    )
    assert page.run(f"{player}.dataset.frame") == "7"
    picture = f"{player}.querySelector('canvas').toDataURL()"
    before = page.run(picture)
    x, y = page.run(
        f"(() => {{ const r = {player}.querySelector('canvas').getBoundingClientRect(); return [r.x + 50, r.y + 50]; }})()"
    )
    page.drag([x, y], [x + 90, y + 20])
    assert page.run(picture) != before


def test_the_matrix_names_the_cell_under_the_pointer(show, report):
    page = show(report)
    page.run("document.querySelector('.matrix').scrollIntoView()")
    box = page.run(
        "(() => { const r = document.querySelector('.matrix canvas').getBoundingClientRect(); return [r.x, r.y, r.width]; })()"
    )
    page.ask("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + 300, y=box[1] + 300)
    told = page.run("document.querySelector('.matrix output').textContent")
    assert " clips" in told and (" taken for " in told or "are recognised" in told)


@pytest.mark.parametrize(("layout", "coordinates", "persons"), [(NTU, 3, 2), (COCO, 2, 1), (None, 3, 1), (NTU, 3, 0)])
def test_a_clip_plays_by_itself(show, layout, coordinates, persons):
    motion = motion_of(HOSTILE, moving(persons, 30, len(layout.joints) if layout else 6, coordinates), layout)
    page = show(clip_page(motion, [("file", HOSTILE)], ClipPrediction("m", [(HOSTILE, 0.75), ("b", 0.25)])))
    page.until("+document.querySelector('.player').dataset.frame > 3")
    assert _ink(page, ".player canvas") > 100
    shown = page.run("document.querySelector('h1').textContent")
    assert shown.startswith("</script><script>alert(1)") and page.run("document.scripts.length") == 2
    page.press("a")
    before = page.run("document.querySelector('.player canvas').toDataURL()") if persons and layout else ""
    if before:
        page.click(".player label input")
        assert page.run("document.querySelector('.player input[type=checkbox]').checked")


def test_a_layout_renders(show):
    page = show(layout_page(COCO), scheme="dark")
    assert "left ankle" in page.run("document.querySelector('svg').textContent")
    page.click("table.sortable th:nth-child(2) button")
    assert page.run("document.querySelector('table.sortable td:nth-child(2)').textContent") == "left ankle"
