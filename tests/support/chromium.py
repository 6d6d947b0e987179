"""Chromium without a window, driven through its DevTools protocol, for tests of pages."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"),
    *("--lang=en", "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"),
)
START_S, LOOK_S = 60, 0.05


class Page:
    """One page.

    Attributes:
        complaints: errors and warnings of the console, refused content and uncaught exceptions.
        asked: every address that was asked for.
    """

    def __init__(self, connection: ClientConnection):
        self.connection, self.n_sent = connection, 0
        self.complaints: list[str] = []
        self.asked: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to one command; what it tells meanwhile is kept."""
        self.n_sent += 1
        self.connection.send(json.dumps({"id": self.n_sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.connection.recv(timeout=START_S))
            if message.get("id") == self.n_sent:
                assert "error" not in message, message
                return message["result"]
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"].get("exception", {}).get("description", told)))
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([part.get("value") for part in told["args"]]))
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])

    def go(self, url: str) -> None:
        """Open an address, up to its last script."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {url!r} && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, awaited where it is a promise."""
        options = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        told = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression: str, seconds: float = 30) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} is still {value!r}; the page complains of {self.complaints}")
            time.sleep(LOOK_S)
        return value

    def text(self, selector: str) -> str:
        """What is shown of the first element; nothing where it is hidden."""
        return self.evaluate(f"document.querySelector({selector!r}).innerText")

    def give_files(self, selector: str, files: list[Path]) -> None:
        """Choose files in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Show it at a size, in px."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def picture(self, file: Path) -> None:
        """Write a PNG of the whole page."""
        told = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def opened(*options: str) -> Iterator[Page]:
    """A page of a browser of its own, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        words = [PROGRAM, *OPTIONS, *options, f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        browser = subprocess.Popen(words, **quiet)
        try:
            with connect(_address(browser, Path(profile)), max_size=None, proxy=None, close_timeout=2) as connection:
                yield Page(connection)
        finally:
            browser.terminate()
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait(10)


def _address(browser: subprocess.Popen, profile: Path) -> str:
    """Where its first page is to be spoken to; the browser writes its port into its profile."""
    import httpx

    end, file = time.monotonic() + START_S, profile / "DevToolsActivePort"
    while time.monotonic() < end and browser.poll() is None:
        if file.is_file() and len(lines := file.read_text().splitlines()) == 2:
            targets = httpx.get(f"http://127.0.0.1:{lines[0]}/json/list", trust_env=False, timeout=START_S).json()
            pages = [target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page"]
            if pages:
                return pages[0]
        time.sleep(LOOK_S)
    raise TimeoutError("chromium did not start")
