"""What ships beside the program: systemd takes the units, Prometheus' files name metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from app.control.options import HttpOptions
from app.exit_code import ExitCode
from app.observe.metrics import render
from tests.unit.app.observe.samples import snapshot

CONFIGS = Path(__file__).parents[4] / "configs"
UNITS = sorted((CONFIGS / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` names unknown keys and bad values; the program stands somewhere else here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/framegate/bin/framegate", "/bin/true"))

    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_the_service_is_watched_and_reloads() -> None:
    text = (CONFIGS / "systemd/framegate.service").read_text()

    hopeless = f"RestartPreventExitStatus={ExitCode.CONFIG} {ExitCode.MODEL}"
    for line in ("Type=notify", "WatchdogSec=30", "ExecReload=/bin/kill -HUP $MAINPID", hopeless):
        assert f"\n{line}\n" in text


def test_scraping_asks_the_default_port() -> None:
    (job,) = yaml.safe_load((CONFIGS / "prometheus/scrape.yaml").read_text())["scrape_configs"]

    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{HttpOptions().port}"]
    assert job["metrics_path"] == "/metrics"


def test_rules_name_metrics_that_exist() -> None:
    (group,) = yaml.safe_load((CONFIGS / "prometheus/rules.yaml").read_text())["groups"]
    exported = render(snapshot()).decode()
    existing = set(re.findall(r"^(\w+)", exported, re.MULTILINE))
    values = {pair for labels in re.findall(r"\{(.*)\}", exported) for pair in labels.split(",")}

    for rule in group["rules"]:
        assert set(re.findall(r"framegate_\w+", rule["expr"])) <= existing
        assert set(re.findall(r'\w+="\w+"', rule["expr"])) <= values
