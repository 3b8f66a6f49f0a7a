"""`config check`: the target release's own word on a configuration and its secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.support.runner.admin_fixtures import Issuer
from tests.support.runner.process import ROOT
from tests.support.services.tls import Authority
from tradepulse_runner.cli.main import main
from tradepulse_runner.config_check import MAX_MESSAGE, SECRETS, check
from tradepulse_runner.state.storage import storage

#: Never to be shown.
SECRET = "s3cret-that-is-long-enough"


def config(tmp_path: Path, *, connector: str = "paper", **changes: Any) -> Path:
    found = yaml.safe_load((ROOT / "configs" / "paper.yaml").read_text())
    venue = {"name": "v", "connector": connector, "symbols": ["BTCUSDT"]}
    if connector != "paper":
        venue["credentials_dir"] = str(tmp_path / "credentials")
    file = tmp_path / "runner.yaml"
    file.write_text(yaml.safe_dump({**found, "venues": [venue], **changes}))
    return file


def credentials(tmp_path: Path, key: str = "k" * 20, secret: str = SECRET) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir(exist_ok=True)
    (folder / "BINANCE_API_KEY").write_text(key)
    (folder / "BINANCE_API_SECRET").write_text(secret)
    return folder


def test_a_good_one_needs_neither_state_nor_a_venue(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    file = config(tmp_path)
    assert check(file, {}) == {"ok": True, "config": "", "secrets": ""}
    assert sorted(tmp_path.iterdir()) == [*before, file]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"loop": {"heartbeat_interval": 0}}, "loop.heartbeat_interval: value 0 is not valid"),
        ({"lop": {}}, "lop: unknown key"),
        ({"strategy": {"name": "martingale"}}, "strategy.name: value 'martingale' is not known"),
        ({"strategy": {"name": "momentum", "parameters": {"fats": 1}}}, "strategy.parameters.fats"),
    ],
)
def test_what_is_wrong_is_reported_with_field_and_remedy(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    found = check(config(tmp_path, **changes), {})
    assert found["ok"] is False
    assert says in found["config"]
    assert "remedy" in found["config"]


def test_options_of_a_connector_are_its_own_to_judge(tmp_path: Path) -> None:
    venue = {"name": "v", "connector": "binance", "symbols": ["btc-usd"]}
    assert "write it as Binance does" in check(config(tmp_path, venues=[venue]), {})["config"]


@pytest.mark.parametrize(
    ("key", "secret", "says"),
    [
        ("k" * 20, SECRET, ""),
        ("k" * 20, "short", "BINANCE_API_SECRET: the file"),
        ("", SECRET, "BINANCE_API_KEY: missing"),
    ],
)
def test_credentials_are_looked_at_and_never_shown(
    tmp_path: Path, key: str, secret: str, says: str
) -> None:
    folder = credentials(tmp_path, key, secret)
    found = check(config(tmp_path, connector="binance"), {SECRETS: str(folder)})
    assert says in found["secrets"]
    assert found["config"] == ""
    assert found["ok"] is (not says)
    assert SECRET not in json.dumps(found)


def test_a_secret_that_is_missing_is_named_by_its_place(tmp_path: Path) -> None:
    found = check(config(tmp_path), {SECRETS: f"{tmp_path / 'audit'}:"})
    assert found["secrets"].startswith(f"{tmp_path / 'audit'}: no secret is there; remedy")
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "key").write_text("")
    found = check(config(tmp_path), {SECRETS: str(tmp_path / "audit")})
    assert "key: empty; remedy" in found["secrets"]


def test_it_answers_on_one_line_and_in_the_termination_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setenv("TRADEPULSE_TERMINATION_LOG", str(log))
    good = CliRunner().invoke(main, ["config", "check", "--config", str(config(tmp_path))])
    assert good.exit_code == 0
    assert json.loads(good.output) == json.loads(log.read_text())
    many: dict[str, Any] = {f"unknown_{n}": n for n in range(200)}
    bad = CliRunner().invoke(main, ["config", "check", "--config", str(config(tmp_path, **many))])
    assert bad.exit_code == 1
    # A termination message holds 4 KiB.
    assert len(log.read_text()) < 4096
    assert len(json.loads(log.read_text())["config"]) == MAX_MESSAGE


def test_the_volume_tells_its_room(tmp_path: Path) -> None:
    (tmp_path / "v_oms.json").write_bytes(b"x" * 1000)
    (tmp_path / "kill_switch.json").write_bytes(b"x" * 50)
    found = storage(tmp_path)
    assert found["backup_bytes"] == 1000
    assert found["free_bytes"] > 0
    assert storage(tmp_path / "gone") == {}


def test_what_the_admin_surface_needs_is_looked_for(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path)
    url = "https://siem.test/audit"
    siem = {"endpoint": url, "token_url": url, "client_id": "runner"}
    tls = {"certificate": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}
    file = config(tmp_path, admin={"oauth": issuer.config(), "tls": tls, "siem": siem})
    (short := tmp_path / "short").write_text("too-short")
    said = check(file, {"TRADEPULSE_SIEM_CLIENT_SECRET_PATH": str(short)})
    assert said["config"] == ""
    audit, certificate, client = said["secrets"].splitlines()
    assert "TRADEPULSE_AUDIT_SECRET" in audit
    assert "admin.tls" in certificate
    assert f"{short} is shorter than 16 characters" in client
    server = Authority(tmp_path / "ca").issue("server", ["127.0.0.1"])
    server.certificate.rename(tls["certificate"])
    server.key.rename(tls["key"])
    good = {"TRADEPULSE_SIEM_CLIENT_SECRET": SECRET, "TRADEPULSE_AUDIT_SECRET": SECRET}
    assert check(file, good)["ok"] is True
    issuer.jwks.write_text("{}")
    assert str(issuer.jwks) in check(file, good)["secrets"]
