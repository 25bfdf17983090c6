"""The one HTML page in a real browser, by clicking and typing. Skipped where there is no Chromium; the environment variable
CHROME names one that is not on the PATH."""

from __future__ import annotations

import json

import pytest

from benchmarks.board import html
from benchmarks.board.build import build
from benchmarks.board.collect import EMBEDDED
from benchmarks.board.front import front
from tests.browser import NAMES, Browser, find
from tests.make_example_results import RESULTS, few

PROGRAM = find()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"no browser: none of {', '.join(NAMES)} is on the PATH, and CHROME is not set"
)
HOSTILE = "decoder|<script>alert(1)</script>"
ROWS = "[...document.querySelectorAll('#rows tbody tr')].map(r => r.querySelector('th button').innerText)"
HEADS = "[...document.querySelectorAll('#rows thead th')].map(h => h.dataset.key)"
OPEN = "document.getElementById('panel').open"
# Text that is seen and stands out too little from what lies under it. Large text may stand out less; none is let off here.
FAINT = """(() => {
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [.2126, .7152, .0722][k], 0);
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const under = e => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest('select')) continue;
    const [a, b] = [light(numbers(getComputedStyle(e).color)), light(under(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) found.push(e.tagName + ': ' + e.textContent.slice(0, 40));
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    top = tmp_path_factory.mktemp("top")
    (top / "results").symlink_to(few())
    build(top / "results", top / "leaderboard")
    return (top / "leaderboard" / html.PAGE).as_uri()


@pytest.fixture(scope="module")
def chromium():
    with Browser(PROGRAM) as browser:
        yield browser


@pytest.fixture
def browser(chromium, address):
    """A page without any state; after the test nothing may have been asked for and nothing complained about."""
    chromium.size(1200)
    chromium.media()
    chromium.open(address)
    chromium.js("localStorage.clear()")
    yield chromium
    asked = {url.split("#")[0] for url in chromium.requests if not url.startswith("data:")}
    assert asked <= {address} and chromium.complaints == []


def at(browser, hash: str) -> bool:
    """Wait until the address says so: it follows what was typed in a moment."""
    browser.until(f"location.hash.slice(1) === {json.dumps(hash)}")
    return True


def choose(browser, key: str, value: str) -> None:
    """As a reader does: the list is focused, its first letters typed."""
    name = browser.js(
        f"[...document.querySelectorAll('#choice-{key} option')].find(o => o.value === {json.dumps(value)}).textContent"
    )
    browser.js(f"document.getElementById('choice-{key}').focus()")
    for letter in name:
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=letter, text=letter)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key=letter)
    browser.until(f"document.getElementById('choice-{key}').value === {json.dumps(value)}")
    browser.until(f"state.{key} === {json.dumps(value)}")


def test_what_a_newcomer_sees(browser):
    """The verified tier; its controls hidden; the embedded suite said to be that, and apart from the paper's protocols."""
    rows = browser.js(ROWS)
    assert rows[:6] == ["base", "base+swap"] * 2 + [
        "dora",
        "dora+swap",
    ]  # of two versions of a protocol, the first with base alone
    assert not any("random" in row for row in rows)
    assert browser.js("document.getElementById('embedded').innerText") == EMBEDDED
    assert browser.js("document.getElementById('status').innerText") == f"{len(rows)} rows; controls are hidden"
    same = browser.js("document.getElementById('same').innerText")
    assert "tier verified" in same and "precision float32" in same
    assert "times of two devices never share a column" in same and "seconds" not in browser.js(HEADS)
    assert "Several versions of a protocol are shown" in same and "Several metrics are shown" in same
    assert browser.js("location.hash") == "" and browser.js("document.title") == "chanswap leaderboard"
    assert browser.js("[...document.querySelectorAll('section.page')].every(s => s.hidden)")


def test_the_papers_protocols_never_share_a_table_with_the_embedded_suite(browser):
    choose(browser, "suite", "paper")
    assert browser.js(ROWS) == ["lora"] and browser.js("document.getElementById('embedded').hidden")
    assert at(browser, "suite=paper") and browser.js("state.tier") == "community"
    for suite in ("paper", "embedded"):
        for tier in ("verified", "community"):
            browser.js(f"location.hash = 'suite={suite}&tier={tier}&controls=1'")
            browser.until(f"state.suite === '{suite}' && state.tier === '{tier}'")
            shown = browser.js("passing().map(r => [board(r).embedded ? 'embedded' : 'paper', board(r).tier].join())")
            assert set(shown) <= {f"{suite},{tier}"}
            assert browser.js("document.getElementById('embedded').hidden") == (suite == "paper")
    browser.js("location.hash = 'suite=paper&tier=verified'")
    browser.until("document.getElementById('status').innerText === 'No row passes these filters.'")
    browser.click("#reset")
    assert at(browser, "table") and len(browser.js(ROWS)) > 4


def column(browser, key: str) -> list[str]:
    place = browser.js(HEADS).index(key) + 1
    return browser.js(f"[...document.querySelectorAll('#rows tbody tr > :nth-child({place})')].map(c => c.innerText)")


def test_numbers_are_sorted_as_numbers_and_empty_cells_are_last(browser):
    choose(browser, "task", "camo")
    head = "#rows thead [data-key={}]"
    order = browser.js(ROWS)
    for turn, direction in ((1, "descending"), (-1, "ascending")):
        browser.click(head.format("score") + " button")
        numbers = [float(cell) for cell in column(browser, "score")]
        assert numbers == sorted(numbers, reverse=turn > 0) and len(set(numbers)) == 4
        assert browser.js(f"document.querySelector('{head.format('score')}').ariaSort") == direction
        assert browser.js("document.querySelectorAll('#rows [aria-sort]').length") == 1
        assert at(browser, f"task=camo&sort={'-' if turn > 0 else ''}score")
    browser.click(head.format("score") + " button")
    assert browser.js(ROWS) == order and at(browser, "task=camo")
    for direction in ("descending", "ascending"):
        browser.click(head.format("test") + " button")
        cells = column(browser, "test")
        full = [float(cell) for cell in cells if cell]
        assert cells[: len(full)] != [] and set(cells[len(full) :]) == {""}
        assert full == sorted(full, reverse=direction == "descending")
    browser.click("#controls")
    browser.click(head.format("gap") + " button")
    gaps = [float(cell.split(" (")[0]) for cell in column(browser, "gap") if cell]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0 < gaps[0]  # a sign is no dash between words
    browser.click(head.format("trained") + " button")  # 4,096 is more than 512
    assert column(browser, "trained")[0].startswith("4,096")
    browser.js(f"document.querySelector('{head.format('name')} button').focus()")
    browser.key("Enter")  # by the keyboard, which stays where it was
    assert browser.js(ROWS) == sorted(browser.js(ROWS))
    assert browser.js("document.activeElement.closest('th').dataset.key") == "name"


def test_numbers_of_two_metrics_are_sorted_apart(browser):
    browser.click("#rows thead [data-key=score] button")
    metrics = column(browser, "metric")
    assert len(set(metrics)) == 3
    assert len([1 for a, b in zip(metrics, metrics[1:]) if a != b]) == 2  # each in one run
    assert any("lower is better" in metric for metric in metrics)


def test_filters(browser):
    browser.click("#q")
    browser.type("DORA camo-mini")
    assert browser.js(ROWS) == ["dora", "dora+swap"]
    assert at(browser, "q=DORA+camo-mini")
    browser.click("#controls")
    assert browser.js(ROWS) == ["dora", "dora+swap", "dora+random-swap"]
    assert browser.js("document.querySelectorAll('#rows tbody .badge:not(.gain, .loss, .tie)').length") == 1  # control
    choose(browser, "swap", "with")
    assert browser.js(ROWS) == ["dora+swap", "dora+random-swap"]
    assert at(browser, "q=DORA+camo-mini&controls=1&swap=with")
    browser.click("#reset")
    assert browser.js("document.getElementById('q').value") == "" and at(browser, "table")
    choose(browser, "device", "gpu: example, 2 threads")
    assert set(column(browser, "seconds")) > {"46.5", "32.0"} and column(browser, "seconds")[0] == "0.0"
    choose(browser, "dataset", "depth-mini")
    assert browser.js("document.getElementById('status').innerText").startswith("No row")


def test_a_state_can_be_linked(browser, address):
    browser.open(address + "#q=camo-mini&sort=-score&controls=1&swap=without&method=base")
    assert browser.js(ROWS) == ["base+best-of-three", "base"]
    assert browser.js("document.getElementById('controls').checked && document.getElementById('q').value") == "camo-mini"
    assert browser.js("document.getElementById('choice-method').value") == "base"


@pytest.mark.parametrize(
    "hash",
    [
        "suite=constructor&tier=__proto__&sort=constructor&open=x",
        "sort=<img src=x onerror=alert(1)>&q=%E0%A4%A&method=<b>",
        "p-nowhere",
        "%E0%A4%A",
        "rows",
        "=&&=",
    ],
)
def test_an_address_of_any_kind_shows_the_table(browser, address, hash):
    browser.open(f"{address}#{hash}")
    assert not browser.js("document.getElementById('table').hidden") and not browser.js(OPEN)
    assert browser.js("document.getElementById('status').innerText") != ""
    assert browser.js("document.querySelectorAll('main img[src=x]').length") == 0


def test_a_row_opens_what_stands_behind_it(browser, address):
    choose(browser, "dataset", "camo-mini")
    browser.click("#rows tbody tr:nth-child(4) td:nth-child(2)")  # anywhere on the row
    browser.until(OPEN)
    link = browser.js("location.hash.slice(1)")
    text = browser.js("document.getElementById('panel').innerText")
    assert text.startswith("dora+swap") and EMBEDDED in text and "prompt\ninterior point\nmask\nsingle" in text
    assert "3<-7, 5<-1" in text and "3<-7, 7<-1" in text and "torch 2.9.0" in text
    assert "python -m benchmarks run --task camo --dataset camo-mini --method dora+swap --protocol mini-v1" in text
    links = browser.js("[...document.querySelectorAll('#panel .path a')].map(a => [a.innerText, a.href])")
    assert len(links) == 3
    for path, target in links:
        assert target == address.replace(f"leaderboard/{html.PAGE}", path.replace("+", "%2B"))
        assert (RESULTS.parent / path.replace("results/", "example_results/", 1)).is_file()
    browser.key("Escape")
    browser.until(f"!{OPEN}")
    assert at(browser, "dataset=camo-mini")
    browser.open(f"{address}#{link}")  # the link leads there
    assert browser.js(OPEN) and browser.js("document.getElementById('panel-title').innerText") == "dora+swap"
    browser.click("#close")
    browser.until(f"!{OPEN}")
    assert browser.js(ROWS) == ["base", "base+swap", "dora", "dora+swap"]


def test_the_panel_by_keyboard_and_by_the_back_button(browser):
    browser.js("document.querySelector('#rows tbody tr:nth-child(2) button').focus()")
    browser.key("Enter")
    browser.until(OPEN)
    assert browser.js("document.activeElement.id") == "close"
    assert browser.js("document.getElementById('panel-title').innerText") == "base+swap"
    browser.js("history.back()")
    browser.until(f"!{OPEN}")
    browser.until("document.activeElement.closest('tr')?.querySelector('th').innerText === 'base+swap'")


def test_going_elsewhere_from_a_panel_or_while_typing_stays_there(browser):
    browser.click("#rows tbody button")
    browser.until(OPEN)
    browser.js("location.hash = 'p-readme'")
    browser.until(f"!{OPEN} && !document.getElementById('p-readme').hidden")
    browser.js("new Promise(done => setTimeout(done, 300))")
    assert browser.js("location.hash") == "#p-readme"
    browser.js("location.hash = 'table'; change({q: 'dora'}); location.hash = 'p-readme'")
    browser.js("new Promise(done => setTimeout(done, 300))")
    assert browser.js("location.hash") == "#p-readme" and not browser.js("document.getElementById('p-readme').hidden")


def test_what_is_copied(browser):
    browser.js("location.hash = 'q=base%2Bswap+camo-mini'")
    browser.until("state.q")
    browser.click("#rows tbody button")
    browser.until(OPEN)
    buttons = "[...document.querySelectorAll('#panel .copied button')]"
    assert browser.js(f"{buttons}.map(b => b.innerText)") == ["Copy", "Copy as Python"] * 3 + ["Copy"]
    # What the clipboard got is told by the old way of copying, which every browser lets a page do on a click.
    browser.js("navigator.clipboard && (navigator.clipboard.writeText = () => Promise.reject())")
    browser.js("document.addEventListener('copy', () => (window.got = document.activeElement.value))")
    command = "python -m benchmarks run --task camo --dataset camo-mini --method base+swap --protocol mini-v1"
    for place, text in ((0, "3<-7, 5<-1"), (1, "Swap([(3, 7), (5, 1)], channels=16)"), (6, command)):
        browser.js(f"{buttons}[{place}].setAttribute('data-here', '')")
        browser.click("#panel [data-here]")
        browser.until("window.got !== undefined")
        assert browser.js("window.got") == text
        browser.until("document.querySelector('#panel [data-here]').innerText === 'Copied'")
        browser.js("document.querySelector('[data-here]').removeAttribute('data-here'); delete window.got")


def test_hostile_names_do_nothing(browser):
    browser.js("window.alert = () => (window.hit = true)")
    browser.js("location.hash = 'suite=embedded&tier=community'")
    browser.until("state.tier === 'community'")
    assert HOSTILE in browser.js(ROWS)
    place = browser.js(ROWS).index(HOSTILE) + 1
    browser.click(f"#rows tbody tr:nth-child({place}) button")
    browser.until(OPEN)
    assert browser.js("document.getElementById('panel-title').innerText") == HOSTILE
    assert browser.js("document.scripts.length") == 2 and not browser.js("window.hit")


def test_the_policy_holds(browser):
    """A script and a style that came in somehow do not run, and nothing can be fetched."""
    browser.js("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))")
    browser.js("document.body.setAttribute('onclick', 'window.ran = true'); document.body.click()")
    assert not browser.js("window.ran")
    assert browser.js("fetch('data:,x').then(() => 'fetched', () => 'refused')") == "refused"
    assert len(browser.complaints) >= 2 and all("Content Security Policy" in text for text in browser.complaints)
    browser.complaints.clear()


def test_the_other_pages(browser, address):
    links = browser.js("[...document.querySelectorAll('#pages a')].map(a => [a.innerText, a.getAttribute('href')])")
    assert [text for text, _ in links][:3] == ["Table", "Overview", "camo, mini-v1"] and len(links) == 7
    for text, target in links[1:]:
        browser.click(f'#pages a[href="{target}"]')
        browser.until(f"!document.getElementById('{target[1:]}').hidden")
        assert browser.js("[...document.querySelectorAll('main > section')].filter(s => !s.hidden).length") == 1
        assert browser.js("document.querySelector('#pages [aria-current]').innerText") == text
        assert browser.js("document.title") == f"{text} - chanswap leaderboard"
    browser.click("#p-paper-v1-cod10k a")  # All pages, and how to read the numbers
    browser.until("!document.getElementById('p-readme').hidden")
    browser.open(f"{address}#p-readme--tiers")
    assert browser.js("document.getElementById('p-readme--tiers').getBoundingClientRect().top < innerHeight")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out(browser, scheme):
    browser.media(prefers_color_scheme=scheme)
    paper = browser.js("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
    browser.js("change({controls: '1'})")
    assert browser.js(FAINT) == []
    browser.click("#rows tbody button")
    browser.until(OPEN)
    assert browser.js(FAINT) == []
    browser.key("Escape")
    for target in browser.js("VIEWS.slice(1).map(v => v.id)"):
        browser.js(f"location.hash = '{target}'")
        browser.until(f"!document.getElementById('{target}').hidden")
        assert browser.js(FAINT) == []


def test_the_theme_can_be_chosen_and_is_kept(browser, address):
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.media(prefers_color_scheme="light")
    browser.click("#theme")
    assert browser.js("document.getElementById('theme').innerText") == "Theme: dark"
    assert browser.js(paper) == "rgb(20, 23, 26)"
    browser.open(address)
    assert browser.js(paper) == "rgb(20, 23, 26)"
    browser.click("#theme")
    browser.media(prefers_color_scheme="dark")
    assert browser.js(paper) == "rgb(255, 255, 255)"
    browser.click("#theme")
    assert browser.js(paper) == "rgb(20, 23, 26)" and browser.js("document.getElementById('theme').innerText") == "Theme: auto"


def test_a_phone_scrolls_tables_in_their_boxes_and_nothing_else(browser):
    browser.size(360, 740)
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    wide = """[...document.querySelectorAll('main *, header *')].filter(e => e.checkVisibility() && !e.closest('.scroll table, pre, svg')
      && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    browser.until("!document.querySelector('#pages').checkVisibility()")  # folded away
    for fold in ("nav", "form"):
        browser.click(f"{fold} summary")
    browser.js("change({suite: 'embedded', controls: '1'})")
    assert browser.js(fits) and browser.js(wide) == []
    assert browser.js("document.getElementById('box').scrollWidth > document.getElementById('box').clientWidth")
    browser.click("#rows tbody tr:nth-child(4) button")
    browser.until(OPEN)
    assert browser.js("document.getElementById('panel').scrollWidth <= document.getElementById('panel').clientWidth")
    browser.key("Escape")
    for target in browser.js("VIEWS.slice(1).map(v => v.id)"):
        browser.js(f"location.hash = '{target}'")
        browser.until(f"!document.getElementById('{target}').hidden")
        assert browser.js(fits) and browser.js(wide) == [], target


def test_print_shows_the_rows_and_no_controls(browser):
    browser.media("print")
    seen = "document.querySelector('{}').checkVisibility()"
    assert not any(browser.js(seen.format(part)) for part in ("nav", "#filters", "#theme"))
    assert (
        browser.js(seen.format("#rows tbody tr"))
        and browser.js("getComputedStyle(document.getElementById('box')).overflowX") == "visible"
    )


def test_thousands_of_rows_come_in_parts(chromium, tmp_path):
    """The page of one board, its row repeated; sorting and filtering see all of them."""
    from benchmarks.board.collect import boards, collect
    from benchmarks.board.tables import summary

    found = collect(few())
    data = front(found.kept, {b: summary(r) for b, r in boards(found.kept).items()})
    row = next(r for r in data["rows"] if r["name"] == "dora")
    rows = [row | {"id": f"{k:x}", "name": f"dora{k}", "score": f"{k}.00"} for k in range(5000)]
    text = html.page({}, (), {}, tmp_path)
    empty = json.dumps({"boards": [], "rows": [], "environments": []}, separators=(",", ":"))[1:-1]
    filled = json.dumps(data | {"rows": rows}, separators=(",", ":")).replace("<", "\\u003c")[1:-1]
    assert text.count(empty) == 1
    (tmp_path / "many.html").write_text(text.replace(empty, filled), encoding="utf-8")
    chromium.size(1200)
    chromium.media()
    chromium.open((tmp_path / "many.html").as_uri())
    assert len(chromium.js(ROWS)) == 200
    assert chromium.js("document.getElementById('more').innerText") == "Show 200 more of 5000 rows"
    chromium.click("#more")
    assert len(chromium.js(ROWS)) == 400
    chromium.click("#rows thead [data-key=score] button")
    assert chromium.js(ROWS)[:2] == ["dora4999", "dora4998"] and len(chromium.js(ROWS)) == 200
    chromium.click("#q")
    chromium.type("dora123")
    assert len(chromium.js(ROWS)) == 11 and chromium.js("document.getElementById('more').hidden")
    chromium.js("dispatchEvent(new Event('beforeprint'))")
    assert chromium.complaints == []
