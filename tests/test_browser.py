"""A reader's first minute: `make lab`, Run All, a slider moved by keyboard, a new picture."""

import os
import time

import lab
import pytest

FIRST = lab.ROOT / "notebooks" / "01_how_fast_could_it_go.ipynb"

# Errors on the console that are JupyterLab's own, each with its cause.
NOT_OURS: tuple[str, ...] = ()

# The picture's bytes, not its address: ipywidgets makes a new address for the same picture too.
DIGEST = """async img => {
    if (!img.complete || !img.naturalWidth) return null;
    const bytes = await fetch(img.src).then(answer => answer.arrayBuffer(), () => null);
    if (!bytes) return null;
    const hash = await crypto.subtle.digest('SHA-256', bytes);
    return Array.from(new Uint8Array(hash), b => b.toString(16).padStart(2, '0')).join('');
}"""


# Labels and read-outs of controls that are wider than their place.
CUT = """box => [...box.querySelectorAll('.widget-label, .widget-readout')]
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""


def picture(explorer) -> str:
    """A digest of the picture that is shown; waits while it is being replaced."""
    digest = until_changed(lambda: explorer.locator("img").first.evaluate(DIGEST), None)
    assert digest, "an explorer whose picture did not load"
    return digest


def until_changed(read, before, limit_s: float = lab.WAIT_S):
    """The first value of `read()` that differs from `before`, or `before` when time is up."""
    end = time.monotonic() + limit_s
    while (now := read()) == before and time.monotonic() < end:
        time.sleep(0.02)
    return now


def first_control(explorer):
    """Its first slider, or its first menu where it has menus only."""
    slider = explorer.get_by_role("slider")
    return slider.first if slider.count() else explorer.locator("select").first


def press(control) -> None:
    """One step by the keyboard: forward, or back where the control is at its end."""
    menu = control.evaluate("e => e.tagName") == "SELECT"
    where = "e => e.selectedIndex" if menu else "e => Number(e.ariaValueNow)"
    last = "e => e.options.length - 1" if menu else "e => Number(e.ariaValueMax)"
    before = control.evaluate(where)
    forward = before < control.evaluate(last)
    if menu:  # shut, it leaves the arrows to JupyterLab, which walks to the next cell with them
        keys = ("Space", "ArrowDown" if forward else "ArrowUp", "Enter")
    else:
        keys = ("ArrowRight" if forward else "ArrowLeft",)
    for key in keys:
        control.press(key)
    assert until_changed(lambda: control.evaluate(where), before) != before, "a control that no key moves"


def seen(explorer) -> tuple[str, str]:
    return picture(explorer), explorer.locator(".bn-summary").first.text_content()


OTHERS = [path for path in sorted((lab.ROOT / "notebooks").glob("*.ipynb")) if path != FIRST]


@pytest.fixture
def chromium():
    """Skips, or fails where a browser is required, when there is none."""
    if lab.chromium() is None:
        message = "no Chromium found: the browser test did not run (BOTTLENECKS_CHROMIUM=path)"
        if os.environ.get("BOTTLENECKS_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)


def unmoved(explorers):
    """Numbers of the explorers that do not answer one step of their first control.

    A menu may also answer in words: why there is no picture for that choice.
    """
    found = []
    for number, explorer in enumerate(explorers, 1):
        control, old = first_control(explorer), seen(explorer)
        assert old[1].strip(), f"explorer {number} says nothing in words"
        assert explorer.locator("img").first.get_attribute("alt"), f"explorer {number} has no alt text"
        assert explorer.evaluate(CUT) == [], f"explorer {number} has a label that is cut"
        press(control)
        now = until_changed(lambda e=explorer: seen(e), old)
        if control.get_attribute("role") == "slider":
            now = until_changed(lambda e=explorer: picture(e), old[0]), old[1]
        if now == old:
            found.append(number)
    return found


def nothing_wrong(book):
    assert book.outside == []
    assert [e for e in book.errors if not any(known in e for known in NOT_OURS)] == []


@pytest.mark.browser
def test_sliders_redraw_their_pictures(chromium):
    with lab.notebook(FIRST) as book:
        book.run_all()
        explorers = book.explorers()
        assert explorers, "no element of class bn-explore: the notebook shows no explorer"

        # The first explorer, closely: some steps, then read-out, summary and picture.
        slider = explorers[0].get_by_role("slider").first
        readout = explorers[0].locator(".widget-readout").first
        summary = explorers[0].locator(".bn-summary").first
        before = picture(explorers[0]), readout.inner_text(), summary.inner_text()
        for _ in range(3):
            press(slider)
        assert until_changed(lambda: picture(explorers[0]), before[0]) != before[0]
        assert until_changed(readout.inner_text, before[1]) != before[1]
        assert until_changed(summary.inner_text, before[2]) != before[2]

        assert unmoved(explorers) == []
        nothing_wrong(book)


@pytest.mark.browser
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_every_other_page_answers(path, chromium):
    with lab.notebook(path) as book:
        book.run_all()
        assert unmoved(book.explorers()) == []
        nothing_wrong(book)
