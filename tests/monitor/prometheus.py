"""Checks the rules and the dashboard against a Prometheus that scrapes a monitor.

usage: prometheus.py PORT   (the monitor's TCP port on 127.0.0.1)

Each query of the dashboard must have a result, and the alerts of the monitor's troubles must be active.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

MONITOR = pathlib.Path("/project/monitor")
PATIENCE = 120
# What Grafana would put in.
VARIABLES = {"$instance": ".*", "$tenant": ".*", "$__rate_interval": "10s"}
ALERTS = {"RunvfVfLost", "RunvfVfQuarantined", "RunvfSensorBlind", "RunvfPfWithoutCarrier", "RunvfTenantAtQuota"}

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: runvf
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(base, path, **parameters):
    url = f"{base}/api/v1/{path}?" + urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{parameters}: {error.read().decode()}")


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.5)
    sys.exit(f"not within {PATIENCE} s: {what}")


def queries():
    for panel in json.loads((MONITOR / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            yield panel["title"], query


def check(base):
    def samples():
        return ask(base, "query", query="count_over_time(runvf_monitor_build_info[1m])")["result"]

    until("enough scrapes", lambda: samples() and float(samples()[0]["value"][1]) >= 5)
    target = ask(base, "targets")["activeTargets"][0]
    if target["health"] != "up":
        sys.exit(f"the scrape failed: {target['lastError']}")
    count = 0
    for title, query in queries():
        until(f"a result of `{title}`: {query}", lambda query=query: ask(base, "query", query=query)["result"])
        count += 1
    until(
        f"the alerts {ALERTS}",
        lambda: ALERTS <= {alert["labels"]["alertname"] for alert in ask(base, "alerts")["alerts"]},
    )
    rules = [rule for group in ask(base, "rules")["groups"] for rule in group["rules"]]
    broken = [rule["name"] for rule in rules if rule["health"] != "ok"]
    if broken:
        sys.exit(f"rules that failed: {broken}")
    print(f"{count} queries have a result, {len(rules)} rules were evaluated")


def main():
    port = free_port()
    folder = pathlib.Path(tempfile.mkdtemp())
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=MONITOR / "rules/runvf.rules.yml", port=sys.argv[1]))
    log = (folder / "log").open("w")
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    until("the start of Prometheus", lambda: urllib.request.urlopen(f"{base}/-/ready", timeout=5))
    check(base)
    server.terminate()


main()
