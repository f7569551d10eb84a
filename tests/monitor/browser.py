"""Checks the monitor's page in headless Chromium.

usage: browser.py PORT FOLDER   (the monitor's TCP port on 127.0.0.1; where the screenshots go)

It prints `calm`, `trouble` or `pause` when the monitor must show another host, or none any more.
"""

import base64
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

MONITOR = f"http://localhost:{sys.argv[1]}/"
SCREENSHOTS = pathlib.Path(sys.argv[2])
PATIENCE = 90
# The keys of WebDriver.
ENTER, ESCAPE = "\ue007", "\ue00c"
OPTIONS = {
    "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000"]
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()
DRIVER = f"http://127.0.0.1:{PORT}"


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(DRIVER + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {path}: {error.read().decode()}")


class Browser:
    def __init__(self):
        capabilities = {
            "browserName": "chrome", "goog:chromeOptions": OPTIONS, "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.session = "/session/" + session["sessionId"]

    def post(self, path, **body):
        return call("POST", self.session + path, body)

    def run(self, script):
        return self.post("/execute/sync", script=script, args=[])

    def press(self, keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.post("/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def picture(self, name):
        image = base64.b64decode(call("GET", self.session + "/screenshot"))
        (SCREENSHOTS / name).write_bytes(image)


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.2)
    sys.exit(f"not within {PATIENCE} s: {what}")


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: found {found!r}, expected {wanted!r}")


def show(moment):
    print(moment, flush=True)


ROWS = """return [...document.querySelectorAll('#sensors tbody tr:not(.detail)')]
    .filter((row) => !row.hidden)
    .map((row) => ({ sign: row.cells[0].firstChild.innerText, state: row.cells[0].lastChild.innerText,
        tenant: row.cells[1].innerText, frames: row.cells[5].innerText,
        drops: row.cells[6].innerText, gaps: row.cells[8].innerText, label: row.querySelector('svg').ariaLabel,
        path: row.querySelector('.frames').getAttribute('d'), lost: row.querySelector('.drops').getAttribute('d') }))"""

# The lowest contrast between a text and what is behind it (WCAG 2.2, 1.4.3).
CONTRAST = """
    const channel = (value) => value <= 10.3 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    const light = (color) => { const [r, g, b] = color.match(/[0-9.]+/g).map(Number);
        return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
    const behind = (node) => { for (; node; node = node.parentElement) {
        const color = getComputedStyle(node).backgroundColor; if (!/, 0\\)$/.test(color)) return color; } return 'rgb(255,255,255)'; };
    const texts = [...document.querySelectorAll('td, th, h1, h2, p, button, #summary, #link, label')]
        .filter((node) => node.innerText && !node.classList.contains('unseen'));
    return Math.min(...texts.map((node) => { const pair = [light(getComputedStyle(node).color), light(behind(node))];
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05); }));"""


def check_content(browser):
    rows = {row["tenant"]: row for row in browser.run(ROWS)}
    words = {tenant: row["state"] for tenant, row in rows.items()}
    expect("the states", words, {
        "bravo": "may be blind", "delta": "lost its VF", "echo": "quarantined", "fox": "no carrier", "civic": "silent",
        "acme": "watching",
    })
    expect("the order", list(rows)[-2:], ["civic", "acme"])
    signs = {row["sign"] for row in rows.values()}
    expect("a sign of its own for each state", len(signs), len(rows))
    expect("frames of the silent sensor", rows["civic"]["frames"], "0")
    expect("the gaps of the blind sensor", rows["bravo"]["gaps"], "2 (6.0 s)")
    expect("drops of the slow sensor", rows["acme"]["drops"] not in ("0", "–"), True)
    expect("bars for its drops", rows["acme"]["lost"].count("M") > 10, True)
    expect("no bars for others", rows["civic"]["lost"], "")
    expect("the line", rows["acme"]["path"].count("L") > 100, True)
    expect("the words for the line", "frames per second" in rows["acme"]["label"], True)
    title = browser.run("return document.title")
    expect("the title", title, "(5) runvf: sensors")
    ports = browser.run("return [...document.querySelectorAll('#ports tbody tr')].map((row) => row.innerText)")
    expect("the ports", ["no carrier" in port for port in ports], [False, True])
    tenants = browser.run("return document.querySelector('#tenants tbody tr').innerText")
    expect("the quota of acme", "at its quota" in tenants, True)


def check_keyboard(browser):
    active = "return document.activeElement.getAttribute('aria-label') || document.activeElement.id"
    browser.press("j")
    first = browser.run(active)
    browser.press("jk")
    expect("j and k", browser.run(active), first)
    browser.press("jjjj")
    browser.press(ENTER)
    detail = browser.run("return document.querySelector('.detail:not([hidden])').innerText")
    expect("details", "ring of 32.0 MiB, loss unknown" in detail, True)
    expect("expanded", browser.run("return document.activeElement.ariaExpanded"), "true")
    browser.press("/")
    expect("the filter's focus", browser.run(active), "filter")
    browser.press("acme")
    expect("the filter", [row["tenant"] for row in browser.run(ROWS)], ["acme"])
    browser.press(ESCAPE)
    browser.press("x")
    expect("only trouble", len(browser.run(ROWS)), 5)
    browser.press("x")
    expect("all again", len(browser.run(ROWS)), 6)


def check_updates(browser):
    path = browser.run(ROWS)[-1]["path"]
    browser.press("j")
    active = browser.run("return document.activeElement.getAttribute('aria-label')")
    until("a new line", lambda: browser.run(ROWS)[-1]["path"] != path)
    show("calm")
    summary = "return document.querySelector('#summary').innerText"
    until("all well", lambda: browser.run(summary) == "6 sensors, 0 with trouble")
    news = browser.run("return document.querySelector('#news').textContent")
    expect("news for screen readers", "bravo VLAN 200: watching" in news, True)
    still = browser.run("return document.activeElement.getAttribute('aria-label')")
    expect("the focus after the rows moved", still, active)
    show("trouble")
    until("trouble again", lambda: browser.run(summary) == "6 sensors, 5 with trouble")


def check_themes(browser):
    back = "return getComputedStyle(document.body).backgroundColor"
    names, colors = [], []
    for _ in range(3):
        browser.press("t")
        names.append(browser.run("return document.querySelector('#theme').innerText"))
        colors.append(browser.run(back))
        contrast = browser.run(CONTRAST)
        if contrast < 4.5:
            sys.exit(f"{names[-1]}: a text has a contrast of {contrast:.2f}, less than 4.5")
        if names[-1] != "Theme: automatic":
            browser.picture(f"monitor-{names[-1].split()[-1]}.png")
    expect("the themes", names, ["Theme: light", "Theme: dark", "Theme: automatic"])
    expect("different colours", colors[0] != colors[1], True)


def check_safety(browser):
    origins = browser.run("return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin)")
    expect("requests to others", [it for it in origins if it != MONITOR.rstrip("/")], [])
    names = browser.run("return [...document.querySelectorAll('dd')].map((node) => node.textContent)")
    expect("markup in a name is text", any("<script>" in name for name in names), True)
    log = browser.post("/se/log", type="browser")
    expect("messages in the console", [line["message"] for line in log if line["level"] != "INFO"], [])
    ran = browser.run("""const script = document.createElement('script'); script.textContent = 'window.ran = true';
        document.body.append(script); script.remove(); return window.ran === true""")
    expect("a script without the nonce runs", ran, False)


def start_driver():
    driver = subprocess.Popen(["chromedriver", f"--port={PORT}"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(DRIVER + "/status", timeout=5)
            return driver
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                sys.exit("chromedriver does not start")
            time.sleep(0.2)


def main():
    driver = start_driver()
    show("trouble")
    browser = Browser()
    browser.post("/url", url=MONITOR)
    until("six sensors", lambda: len(browser.run(ROWS)) == 6)
    check_content(browser)
    check_keyboard(browser)
    check_updates(browser)
    check_themes(browser)
    check_safety(browser)
    show("pause")
    stale = "return document.querySelector('#link').className + ' ' + document.querySelector('#link').innerText"
    until("a warning that the data is old", lambda: browser.run(stale).startswith("bad live; data of "))
    call("DELETE", browser.session)
    driver.terminate()


if __name__ == "__main__":
    main()
