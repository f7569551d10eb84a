"""Checks the page of a monitor that watches real sensors: one of acme with traffic on VLAN 11, one of bravo without any.

usage: live.py PORT FOLDER   (a port of 127.0.0.1 that leads to the monitor; where the screenshots go)

It prints what the host must do next: `promisc off` in the container of acme, `unplug` the cable of the PF, `plug` it in.
"""

from browser import MONITOR, ROWS, Browser, call, expect, show, start_driver, until


def rows(browser):
    return {row["tenant"]: row for row in browser.run(ROWS)}


def gaps(browser):
    """The number of the gaps of acme, which the page shows as `2 (1.5 s)`."""
    return int(rows(browser)["acme"]["gaps"].split(" ")[0])


def check(browser):
    until("two sensors", lambda: set(rows(browser)) == {"acme", "bravo"})
    until("frames of acme", lambda: rows(browser)["acme"]["frames"] not in ("–", "0"))
    until("no frames of bravo", lambda: rows(browser)["bravo"]["frames"] == "0")
    words = {tenant: row["state"] for tenant, row in rows(browser).items()}
    expect("the states", words, {"acme": "watching", "bravo": "watching"})
    until("a line", lambda: rows(browser)["acme"]["path"].count("L") > 2)
    before = gaps(browser)
    show("promisc off")
    until("a gap that has ended", lambda: gaps(browser) > before)
    until("acme watches again", lambda: rows(browser)["acme"]["state"] == "watching")
    show("unplug")
    blind = ("may be blind", "no carrier")
    until("the loss of the carrier", lambda: all(row["state"] in blind for row in rows(browser).values()))
    port = "return document.querySelector('#ports tbody tr').innerText"
    until("the port without carrier", lambda: "no carrier" in browser.run(port))
    browser.picture("monitor-live-unplugged.png")
    show("plug")
    until("all well", lambda: all(row["state"] == "watching" for row in rows(browser).values()))
    until("frames again", lambda: rows(browser)["acme"]["frames"] not in ("–", "0"))
    link = "return document.querySelector('#link').className"
    expect("the connection", browser.run(link), "")
    browser.picture("monitor-live.png")


def main():
    driver = start_driver()
    browser = Browser()
    browser.post("/url", url=MONITOR)
    check(browser)
    call("DELETE", browser.session)
    driver.terminate()


main()
