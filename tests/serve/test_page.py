"""The live page: its files fit each other, and it does in a browser what it says."""

import json
import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import soundfile

from fakevoice.audio.messages import REASONS
from fakevoice.audio.read import read_audio
from fakevoice.serve.app import PAGE
from tests.support.chromium import PROGRAM, Page, opened
from tests.support.serving import serving

RATE = 16_000
SCRIPTS = sorted(PAGE.glob("*.js"))
TEXTS = json.loads((PAGE / "texts.json").read_text(encoding="utf-8"))
HTML = (PAGE / "index.html").read_text(encoding="utf-8")
COMPUTED = {*(f"word.{n}" for n in range(1, 6)), *(f"class.{n}" for n in range(3, 6)), "output.fake", "output.real"}
COMPUTED |= {f"column.{name}" for name in ("id", "verdict", "low", "high", "n_windows", "note", "start_s", "end_s")}
COMPUTED |= {f"reason.{code}" for code in REASONS} - {"reason.other"}
OUTPUTS = {"fake": "generated voice", "real": "human voice"}
PLACE = "+/[\\d.]+/.exec(document.querySelector('#cursor').style.transform)[0]"
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="no chromium: the page cannot be opened here")


def used_texts() -> set[str]:
    """Keys that the page and its scripts name."""
    named = set(re.findall(r'data-(?:text|label)="([^"]+)"', HTML))
    for script in SCRIPTS:
        named |= {word for word in re.findall(r'"([a-z]+(?:\.[a-z_]+)+)"', script.read_text(encoding="utf-8"))}
    return {key for key in named if not key.endswith((".js", ".json", ".csv"))}


def test_every_text_is_there_in_both_languages_and_used():
    assert used_texts() | COMPUTED == set(TEXTS)
    for key, text in TEXTS.items():
        assert set(text) == {"en", "ko"} and all(text.values()), key
        assert set(re.findall(r"{\w+}", text["en"])) == set(re.findall(r"{\w+}", text["ko"])), key
        assert re.search("[가-힣]", text["ko"]) or key in ("said.interval",), key


def test_nothing_is_loaded_from_elsewhere():
    for file in PAGE.iterdir():
        assert not re.search(r"(?:https?:)?//[\w-]+\.\w|@import|eval\(|innerHTML", file.read_text(encoding="utf-8")), (
            file
        )
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", HTML)  # the CSP would refuse them


def test_every_element_that_a_script_asks_for_is_there():
    asked = {name for script in SCRIPTS for name in re.findall(r'at\("([\w-]+)"\)', script.read_text(encoding="utf-8"))}
    assert asked and asked <= set(re.findall(r'\sid="([\w-]+)"', HTML))


def test_imports_of_scripts_exist():
    for script in SCRIPTS:
        for names, file in re.findall(r'import \{([^}]+)\} from "\./([\w.]+)"', script.read_text(encoding="utf-8")):
            source = (PAGE / file).read_text(encoding="utf-8")
            for name in names.split(","):
                name = name.split(" as ")[0].strip()
                assert re.search(
                    rf"export (?:async )?(?:function|class|const) {name}\b|export const .*\b{name} =", source
                )


@pytest.fixture(scope="module")
def sounds(finished_run, tmp_path_factory):
    """12 s of test clips, a short one, and a text that calls itself a recording."""
    folder = tmp_path_factory.mktemp("sounds")
    files = sorted((finished_run.paths.raw / "test").iterdir())[:3]
    sound = np.concatenate([read_audio(file, RATE).waveform for file in files])[: 12 * RATE]
    soundfile.write(folder / "long.wav", sound, RATE, subtype="PCM_16")
    soundfile.write(folder / "=short.wav", sound[: 3 * RATE], RATE, subtype="PCM_16")
    (folder / "notes.wav").write_text("hello")
    return folder


@pytest.fixture(scope="module")
def url(finished_run):
    with serving(finished_run.home) as service:
        yield service.url


@pytest.fixture(scope="module")
def browser(sounds):
    microphone = f"--use-file-for-fake-audio-capture={sounds / 'long.wav'}"
    with opened("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", microphone) as page:
        yield page


@pytest.fixture
def page(browser, url) -> Iterator[Page]:
    """The page, just opened, in English; at its end it must not have complained or asked anybody else."""
    browser.go("about:blank")
    browser.complaints.clear()
    browser.asked.clear()
    browser.resize(1200, 900)
    browser.go(f"{url}#en")
    browser.wait("document.querySelector('#bounds').textContent")
    yield browser
    assert not browser.complaints
    assert all(address.startswith((url, "blob:", "data:")) for address in browser.asked)


def give(page: Page, *files) -> None:
    page.give_files("#files", list(files))
    page.wait("document.querySelector('#status').textContent.startsWith('Done')")


def said_of(url: str, file) -> dict:
    """What the service answers to a program."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        told = client.post("api/predict", files=[("files", (file.name, file.read_bytes()))])
    return told.json()["recordings"][0]


@needs_chromium
def test_an_upload_is_judged_drawn_and_played(page, url, sounds):
    give(page, sounds / "long.wav")
    assert re.search(r"generated voice: (very )?(un)?(likely|decided)|No verdict", page.text("#verdict"))
    assert re.search(r"human voice\s+\d+ % \(\d+ % to \d+ %\)", page.text("#verdict"))
    assert page.text("#results tbody tr").startswith("long.wav")
    colours = "[...document.querySelector('#{}').getContext('2d').getImageData(100, 10, 200, 80).data]"
    for name in ("waveform", "spectrogram", "timeline"):
        assert len(set(page.evaluate(colours.format(name)))) > 5, name
    assert page.evaluate("document.querySelectorAll('#windows tbody tr').length") == 4
    page.evaluate("document.querySelector('#player').play()")
    page.wait("document.querySelector('#player').currentTime > 0.3")
    page.evaluate("document.querySelector('#player').pause()")
    box = page.evaluate(
        "(({x, y, width}) => [x, y, width])(document.querySelector('#timeline').getBoundingClientRect())"
    )
    click = "document.querySelector('#timeline').dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: %f}))"
    page.evaluate(click % (box[0] + 52 + (box[2] - 62) * 0.75))
    page.wait("Math.abs(document.querySelector('#player').currentTime - 9) < 0.05")
    page.wait("document.querySelector('#now').textContent.startsWith('At 9.0 s:')")
    place = page.evaluate(PLACE)
    assert place == pytest.approx(52 + (box[2] - 62) * 0.75, abs=1)
    window = said_of(url, sounds / "long.wav")["timeline"][-1]  # its middle, 9.5 s, is nearest
    assert all(f"{words} {100 * window[name]:.0f} %" in page.text("#now") for name, words in OUTPUTS.items())


@needs_chromium
def test_the_cursor_glides_with_the_sound(page, sounds):
    give(page, sounds / "long.wav")
    page.evaluate("document.querySelector('#player').play()")
    page.wait("document.querySelector('#player').currentTime > 0.1")
    places = page.evaluate(f"""new Promise((done) => {{
      const seen = [], look = () => seen.push({PLACE}) < 60 ? requestAnimationFrame(look) : done(seen);
      look();
    }})""")
    page.evaluate("document.querySelector('#player').pause()")
    assert len(set(places)) > 10 and places == sorted(places)  # a sound tells its time four times a second only


@needs_chromium
def test_several_files_can_be_sorted_and_downloaded(page, url, sounds):
    give(page, sounds / "long.wav", sounds / "notes.wav", sounds / "=short.wav")
    rows = "[...document.querySelectorAll('#results tbody th')].map((cell) => cell.textContent).join()"
    assert page.evaluate(rows) == "long.wav,notes.wav,=short.wav"
    button = "document.querySelectorAll('#results thead button')[0]"
    for order in ("=short.wav,long.wav,notes.wav", "notes.wav,long.wav,=short.wav"):
        page.evaluate(f"{button}.click()")
        assert page.evaluate(rows) == order
    assert page.evaluate(f"{button}.parentElement.getAttribute('aria-sort')") == "descending"
    assert page.evaluate("document.activeElement === document.querySelectorAll('#results thead button')[0]")
    page.evaluate("window.made = []; URL.createObjectURL = (blob) => (made.push(blob), 'data:,')")
    page.evaluate("HTMLAnchorElement.prototype.click = () => {}; document.querySelector('#download').click()")
    lines = page.evaluate("made[0].text()").splitlines()
    assert lines[0].endswith("id,fake,fake_low,fake_high,real,real_low,real_high,n_windows,note")
    assert [line.split(",")[0] for line in lines[1:]] == ["long.wav", "notes.wav", "'=short.wav"]
    assert "not readable (cannot be decoded: Format not recognised.): the prior" in lines[2]
    columns = lines[0].split("id,")[1].split(",")[:-1]
    for line, name in ((lines[1], "long.wav"), (lines[3], "=short.wav")):
        row = said_of(url, sounds / name)["row"]
        assert [float(cell) for cell in line.split(",")[1:-1]] == [row[column] for column in columns]
        cell = f"{100 * row['real']:.0f} % ({100 * row['real_low']:.0f} % to {100 * row['real_high']:.0f} %)"
        assert cell in page.text(
            f"#results tbody tr:nth-child({['notes.wav', 'long.wav', '=short.wav'].index(name) + 1})"
        )
    assert page.evaluate("made[0].arrayBuffer().then((bytes) => [...new Uint8Array(bytes, 0, 3)])") == [
        0xEF,
        0xBB,
        0xBF,
    ]


@needs_chromium
def test_a_text_file_is_said_to_be_none(page, sounds):
    give(page, sounds / "notes.wav")
    assert page.text("#verdict") == "Not readable: it contains no audio that can be decoded."
    assert page.evaluate("document.querySelector('#pictures').hidden")
    assert "%" not in page.text("#results tbody tr") and "Not readable" in page.text("#results tbody tr")
    page.evaluate("document.querySelector('[data-to=ko]').click()")
    assert page.text("#verdict") == "읽을 수 없음: 녹음이나 동영상 형식이 아닙니다."


@needs_chromium
def test_what_is_refused_is_shown(page, sounds):
    page.evaluate("window.fetch = async () => Response.json({error: 'busy: try again'}, {status: 503})")
    give(page, sounds / "long.wav")
    assert page.text("#error") == "busy: try again" and page.text("#status") == "Done: 0 of 1 files."


@needs_chromium
def test_the_language_is_switched_everywhere(page, sounds):
    give(page, sounds / "long.wav")
    english = page.text("body")
    page.evaluate("document.querySelector('[data-to=ko]').click()")
    korean = page.text("body")
    assert page.evaluate("document.documentElement.lang") == "ko"
    left = set(re.findall(r"[A-Za-z]{3,}", korean)) - {
        "English",
        "long",
        "wav",
        "demo",
        "default",
        "FLAC",
        "OGG",
        "CSV",
    }
    assert left <= {"WAV"} and "generated" in english
    page.evaluate("document.querySelector('[data-to=en]').click()")
    assert page.text("body") == english


@needs_chromium
def test_the_microphone_is_answered_every_second_and_let_go(page):
    page.evaluate("""(() => {
      const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
      devices.getUserMedia = async (asked) => (window.microphone = await ask(asked));
    })()""")
    page.evaluate("document.querySelector('#record').click()")
    page.wait("/\\d+ %/.test(document.querySelector('#live-verdict').textContent)")
    assert "Listening" in page.text("#live-state") and page.text("#record") == "Stop the microphone"
    said = page.wait("document.querySelector('#live-said').textContent")
    assert "voice" in said or "No verdict" in said
    page.evaluate("document.querySelector('#record').click()")
    assert page.evaluate("microphone.getTracks().map((track) => track.readyState).join()") == "ended"
    page.wait("document.querySelector('#live-state').textContent === 'The microphone is off.'")
    assert page.text("#record") == "Start the microphone"


@needs_chromium
@pytest.mark.parametrize("is_dark", [False, True])
def test_a_narrow_screen_scrolls_down_only(page, sounds, is_dark):
    page.resize(360, 700, is_dark)
    give(page, sounds / "long.wav")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(23, 23, 23)" if is_dark else "rgb(255, 255, 255)")


@needs_chromium
def test_what_is_drawn_follows_the_colours_of_the_screen(page, sounds):
    give(page, sounds / "long.wav")
    page.evaluate("window.light = document.querySelector('#timeline').toDataURL()")
    page.resize(1200, 900, dark=True)
    page.wait("document.querySelector('#timeline').toDataURL() !== light", 5)


@needs_chromium
def test_what_changes_is_told_to_who_does_not_see(page, sounds):
    """Regions that a screen reader reads out by themselves."""
    regions = "[...document.querySelectorAll('[role], [aria-live]')]"
    told = page.evaluate(f"Object.fromEntries({regions}.map((one) => [one.id, one.ariaLive ?? one.role]))")
    wanted = {"status": "status", "error": "alert", "live-state": "status", "live-said": "status", "verdict": "polite"}
    assert {name: told.get(name) for name in wanted} == wanted
    give(page, sounds / "long.wav")
    assert page.text("#status") == "Done: 1 files." and page.evaluate("document.activeElement.id") == "chosen-title"


def press(page: Page, key: str, code: int) -> None:
    text = {"text": "\r"} if key == "Enter" else {}
    page.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
    page.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)


@needs_chromium
def test_everything_can_be_reached_by_keyboard_and_has_a_name(page, sounds):
    give(page, sounds / "long.wav", sounds / "=short.wav")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    nameless = [
        node
        for node in nodes
        if node.get("role", {}).get("value") in ("button", "textbox", "image", "table", "link", "canvas")
        and not node["ignored"]
        and not node.get("name", {}).get("value")
    ]
    assert not [node for node in nameless if node["role"]["value"] != "table"]
    page.evaluate("document.querySelector('[data-to=en]').focus()")
    reached = ["English"]
    for _ in range(20):
        press(page, "Tab", 9)
        reached.append(page.evaluate("(({id, textContent}) => id || textContent.trim())(document.activeElement)"))
        if reached[-1] == "=short.wav":
            break
    headings = ["file", "verdict", *OUTPUTS.values(), "windows", "note"]
    assert reached[:4] == ["English", "한국어", "files", "record"]
    assert reached[5:] == [*headings, "long.wav", "=short.wav"]  # after the table's own place, where it scrolls
    press(page, "Enter", 13)
    page.wait("document.querySelector('#chosen-title').textContent === '=short.wav'")
    page.wait("document.activeElement.id === 'chosen-title'")
    for name in ("download", "player"):
        assert page.evaluate(f"document.querySelector('#{name}').tabIndex") == 0


@needs_chromium
def test_the_spectrum_is_that_of_numpy(page):
    wave = np.random.default_rng(0).normal(size=512)
    script = """import('./drawing.js').then(({fft}) => {
      const real = Float64Array.from(%s), imaginary = new Float64Array(512);
      fft(real, imaginary);
      return [[...real], [...imaginary]];
    })"""
    real, imaginary = page.evaluate(script % json.dumps(wave.tolist()))
    assert np.allclose(np.array(real) + 1j * np.array(imaginary), np.fft.fft(wave))


@needs_chromium
def test_near_one_half_nothing_is_decided(page):
    script = """import('./verdict.js').then(({inWords}) => inWords(
      {fake: %f, fake_low: %f, fake_high: %f}, {task: 'binary', outputs: ['fake']}))"""
    for values, word in (
        ((0.59, 0.5, 0.7), "undecided"),
        ((0.41, 0.3, 0.5), "undecided"),
        ((0.7, 0.3, 0.8), "undecided"),
        ((0.61, 0.55, 0.7), ": likely"),
        ((0.95, 0.9, 0.97), "very likely"),
        ((0.3, 0.2, 0.45), ": unlikely"),
        ((0.05, 0.01, 0.1), "very unlikely"),
    ):
        assert word in page.evaluate(script % values), values


@needs_chromium
def test_the_token_is_asked_for(finished_run, sounds):
    with serving(finished_run.home, "--token", "open-sesame") as service, opened() as page:
        page.go(f"{service.url}#en")
        page.wait("!document.querySelector('#token-form').hidden")
        for word in ("open-barley", "open-sesame"):
            page.evaluate(f"document.querySelector('#token').value = '{word}'")
            page.evaluate("document.querySelector('#token-form button').click()")
            if word == "open-barley":
                page.wait("document.querySelector('#error').textContent.includes('not the one')")
        page.wait("document.querySelector('#bounds').textContent")
        give(page, sounds / "=short.wav")
        assert page.text("#status") == "Done: 1 files."
