"""Debian's Alertmanager with the role's configuration sends a test alert to each receiver, in the format of its vendor.

The vendors' servers are replaced by one HTTP server, and the mail server by one without STARTTLS, which production
requires.
"""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.alerting import notification_results

from tests.harness.parts import monitor
from tests.monitor.local import free_port
from tests.monitor.render import ROOT, render

ALERT = {
    "labels": {"alertname": "ProverAlertTest", "fleet": "test", "severity": "none"},
    "annotations": {"summary": "This is a test", "description": "The receiver works.", "action": "Nothing to do"},
}
RECEIVERS: dict[str, Any] = {
    "prover_monitor_telegram_chat_id": "-100123",
    "prover_monitor_telegram_bot_token": "123456:" + "t" * 35,
    "prover_monitor_slack_channel": "#prover",
    "prover_monitor_slack_webhook_url": "http://127.0.0.1:9/slack",
    "prover_monitor_pagerduty_routing_key": "k" * 32,
    "prover_monitor_email_to": "ops@example.org",
    "prover_monitor_email_from": "prover@example.org",
    "prover_monitor_email_smarthost": "mail.example.org:587",
    "prover_monitor_email_user": "prover",
    "prover_monitor_email_password": "mail-password-1",
    "prover_monitor_webhook_url": "http://127.0.0.1:9/hook",
    "prover_monitor_webhook_token": "token-of-the-webhook",
    "prover_monitor_watchdog_url": "http://127.0.0.1:9/watchdog",
}
WANTED = ["pagerduty", "slack", "telegram", "webhook"]


class Vendors(ThreadingHTTPServer):
    """Server for the requests of Alertmanager. refused: paths that it answers with 403."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.refused: set[str] = set()


class Request(BaseHTTPRequestHandler):
    server: Vendors

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        refused = any(self.path.startswith(path) for path in self.server.refused)
        self.send_response(403 if refused else 202 if self.path.startswith("/pagerduty") else 200)
        self.end_headers()
        message = {"message_id": 1, "date": 1, "chat": {"id": -100123, "type": "group"}}
        result = {"ok": True, "result": message} if self.path.startswith("/bot") else {"status": "success"}
        self.wfile.write(b"ok" if self.path == "/slack" else json.dumps(result).encode())

    def log_message(self, *arguments: object) -> None:
        pass


class Mail(socketserver.ThreadingTCPServer):
    """A mail server. lines: what its clients sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailRequest)
        self.lines: list[str] = []


class MailRequest(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        replies = {"EHLO": "250-localhost\r\n250 AUTH PLAIN", "AUTH": "235 ok", "DATA": "354 send", "QUIT": "221 bye"}
        self.wfile.write(b"220 localhost ESMTP\r\n")
        in_message = False
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            self.server.lines.append(line)
            if not in_message or line == ".":
                self.wfile.write(f"{replies.get(line[:4].upper(), '250 ok')}\r\n".encode())
            in_message = line.upper() == "DATA" or (in_message and line != ".")


def get(url: str, body: Any = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


@contextmanager
def alertmanager(files: dict[str, str], vendors: str, where: Path, mail: int = 0) -> Iterator[str]:
    """Run Alertmanager with the role's files, and the vendors' URLs replaced. Yield its URL.

    mail: port of a mail server. Without one, the receiver for e-mail is left out.
    """
    for name, text in files.items():
        if name.startswith("alertmanager/"):
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_text(text)
    config = yaml.safe_load(
        files["alertmanager/alertmanager.yml"].replace("/etc/alertmanager/", f"{where}/alertmanager/")
    )
    config["global"] |= {"telegram_api_url": vendors, "pagerduty_url": f"{vendors}/pagerduty"}
    operator = next(one for one in config["receivers"] if one["name"] == "operator")
    operator["email_configs"][0] |= {"smarthost": f"localhost:{mail}", "require_tls": False}
    if not mail:
        operator.pop("email_configs")
    (where / "alertmanager.yml").write_text(yaml.safe_dump(config))
    url = f"127.0.0.1:{free_port()}"
    command = [
        *(monitor() / "prometheus-alertmanager", f"--config.file={where}/alertmanager.yml"),
        *(f"--storage.path={where}/data", f"--web.listen-address={url}", "--cluster.listen-address="),
    ]
    with (where / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                get(f"http://{url}/-/ready")
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None, (where / "log").read_text()
                time.sleep(0.1)
        yield f"http://{url}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(name="vendors")
def vendors_fixture() -> Iterator[Vendors]:
    server = Vendors()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def rendered(vendors: Vendors, where: Path) -> tuple[dict[str, str], str]:
    base = f"http://127.0.0.1:{vendors.server_port}"
    urls = {f"prover_monitor_{name}_url": f"{base}/{name}" for name in ("webhook", "watchdog")}
    urls["prover_monitor_slack_webhook_url"] = f"{base}/slack"
    where.mkdir()
    return render(where, {**RECEIVERS, **urls})[2], base


def results_after(url: str, wanted: list[str]) -> dict[str, str]:
    before = get(f"{url}/metrics")
    get(f"{url}/api/v2/alerts", [ALERT])
    deadline = time.monotonic() + 20
    while True:
        results = notification_results(get(f"{url}/metrics"), before, wanted)
        if "waiting" not in results.values() or time.monotonic() > deadline:
            return results
        time.sleep(0.5)


def test_each_receiver_gets_the_format_of_its_vendor(vendors: Vendors, tmp_path: Path) -> None:
    files, base = rendered(vendors, tmp_path / "render")
    with alertmanager(files, base, tmp_path) as url:
        assert results_after(url, WANTED) == dict.fromkeys(WANTED, "sent")
    bodies = {path: body for path, _headers, body in vendors.requests}
    headers = {path: header for path, header, _body in vendors.requests}
    lines = ["FIRING test: ProverAlertTest", "This is a test", "Do: Nothing to do"]

    # https://core.telegram.org/bots/api#sendmessage
    telegram = bodies[f"/bot{RECEIVERS['prover_monitor_telegram_bot_token']}/sendMessage"]
    assert str(telegram["chat_id"]) == "-100123" and 0 < len(telegram["text"]) <= 4096
    assert all(line in telegram["text"] for line in lines)

    # https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    slack = bodies["/slack"]
    (attachment,) = slack["attachments"]
    assert slack["channel"] == "#prover" and attachment["title"] == lines[0]
    assert all(line in attachment["text"] for line in lines[1:])

    # https://developer.pagerduty.com/docs/events-api-v2-overview
    pagerduty = bodies["/pagerduty"]
    assert pagerduty["routing_key"] == RECEIVERS["prover_monitor_pagerduty_routing_key"]
    assert pagerduty["event_action"] == "trigger" and 0 < len(pagerduty["dedup_key"]) <= 255
    assert 0 < len(pagerduty["payload"]["summary"]) <= 1024 and pagerduty["payload"]["source"]
    assert pagerduty["payload"]["severity"] in ("critical", "error", "warning", "info")

    # https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    webhook = bodies["/webhook"]
    assert webhook["version"] == "4" and webhook["alerts"][0]["annotations"] == ALERT["annotations"]
    assert headers["/webhook"]["Authorization"] == f"Bearer {RECEIVERS['prover_monitor_webhook_token']}"
    # Only the watchdog's alert goes to the watchdog.
    assert "/watchdog" not in bodies


def send_test_alerts(folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    """Run alert_test.yml for an Alertmanager at this port of the machine."""
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **RECEIVERS}
    host["prover_monitor_alertmanager_port"] = port
    inventory = folder / "hosts.yml"
    inventory.write_text(json.dumps({"prover_monitor": {"hosts": {"monitor-1": host}}}))
    command = ["ansible-playbook", "-v", ROOT / "playbooks/alert_test.yml", "-i", inventory]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_playbook_without_a_running_alertmanager(tmp_path: Path) -> None:
    run = send_test_alerts(tmp_path, free_port())
    assert run.returncode == 2, run.stdout + run.stderr
    line = "Alertmanager does not respond on monitor-1: run status.yml, and start.yml if the monitor is stopped"
    assert line in " ".join(run.stdout.split())


def test_the_playbook_sends_one_alert_to_each_receiver(vendors: Vendors, tmp_path: Path) -> None:
    """alert_test.yml reports each receiver, and the e-mail has the headers and the text of the alert."""
    files, base = rendered(vendors, tmp_path / "render")
    with Mail() as mail:
        threading.Thread(target=mail.serve_forever, daemon=True).start()
        with alertmanager(files, base, tmp_path, mail.server_address[1]) as url:
            run = send_test_alerts(tmp_path, int(url.rpartition(":")[2]))
        mail.shutdown()
    assert run.returncode == 0, run.stdout + run.stderr
    assert [name for name in (*WANTED, "email") if f"{name}: sent" not in run.stdout] == [], run.stdout
    # RFC 5321 and RFC 5322
    assert "MAIL FROM:<prover@example.org>" in [line.partition(" BODY")[0] for line in mail.lines]
    assert "RCPT TO:<ops@example.org>" in mail.lines
    sent = message_from_string("\n".join(mail.lines[mail.lines.index("DATA") + 1 : mail.lines.index(".")]))
    assert (sent["From"], sent["To"]) == ("prover@example.org", "ops@example.org")
    assert "ProverAlertTest" in str(make_header(decode_header(sent["Subject"])))
    texts = [part.get_payload(decode=True).decode() for part in sent.walk() if not part.is_multipart()]
    assert any("Do: Nothing to do" in text for text in texts)


def test_a_receiver_that_refuses_is_reported(vendors: Vendors, tmp_path: Path) -> None:
    vendors.refused = {"/webhook"}
    files, base = rendered(vendors, tmp_path / "render")
    with alertmanager(files, base, tmp_path) as url:
        assert results_after(url, ["slack", "webhook"]) == {"slack": "sent", "webhook": "failed"}


def test_one_dead_broker_is_one_message(vendors: Vendors, tmp_path: Path) -> None:
    """Alerts that follow from the broker's failure are inhibited, and an agent that is down hides nothing."""
    files, base = rendered(vendors, tmp_path / "render")

    def alert(name: str, **labels: str) -> dict[str, Any]:
        labels = {"alertname": name, "fleet": "one", "severity": "critical", **labels}
        return {"labels": labels, "annotations": ALERT["annotations"]}

    with alertmanager(files, base, tmp_path) as url:
        alerts = [
            alert("ProverComponentDown", component="prover_broker", host_name="node-1"),
            alert("ProverAgentsMissing", host_name="agent-1", severity="warning"),
            alert("ProverQueueWithoutAgents"),
            alert("ProverComponentDown", component="prover_agent", host_name="agent-9", fleet="two"),
            alert("ProverQueueWithoutAgents", fleet="two"),
        ]
        get(f"{url}/api/v2/alerts", alerts)
        deadline = time.monotonic() + 40
        while (
            len([path for path, _h, _b in vendors.requests if path == "/webhook"]) < 2 and time.monotonic() < deadline
        ):
            time.sleep(0.5)
    bodies = [body for path, _headers, body in vendors.requests if path == "/webhook"]
    sent = {
        body["groupLabels"]["fleet"]: sorted(one["labels"]["alertname"] for one in body["alerts"]) for body in bodies
    }
    assert sent == {"one": ["ProverComponentDown"], "two": ["ProverComponentDown", "ProverQueueWithoutAgents"]}


def test_without_receivers_the_configuration_is_valid(tmp_path: Path) -> None:
    files = render(tmp_path, {})[2]
    assert [name for name in files if "secrets" in name] == ["grafana/secrets/admin_password"]
    (tmp_path / "am.yml").write_text(files["alertmanager/alertmanager.yml"])
    result = subprocess.run(
        [monitor() / "amtool", "check-config", tmp_path / "am.yml"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_secret_is_in_a_configuration(tmp_path: Path) -> None:
    project, _guard, files = render(tmp_path, RECEIVERS)
    public = [text for name, text in files.items() if "/secrets/" not in name] + [project["compose"], project["env"]]
    secrets = [text for name, text in files.items() if "/secrets/" in name]
    assert len(secrets) == 8
    assert [secret for secret in secrets for text in public if secret in text] == []
