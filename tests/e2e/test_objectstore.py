"""A cutover's backup is copied to an S3 server; one that is down holds nothing up."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import NODE_GATEWAY
from tests.support.e2e import scenario
from tests.support.e2e.client import API_VERSION, Cluster, Manifest, condition, is_true, wait_for
from tests.support.services.objectstore.server import BUCKET, KEY, REGION, SECRET, ObjectStore

RUNNER = "stored"
#: Not 443: the runner's NetworkPolicy has to let it out.
PORT = 7070


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    found = ObjectStore(port=PORT)
    with Progress().step("versitygw") as step:
        found.install(step)
    found.start(tmp_path_factory.mktemp("s3"), NODE_GATEWAY)
    yield found
    found.stop()


def secret(name: str, namespace: str, values: dict[str, str]) -> Manifest:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


@pytest.fixture(scope="module")
def runner(cluster: Cluster, namespace: str, server: ObjectStore) -> str:
    cluster.apply(secret("s3-key", namespace, {"S3_API_KEY": KEY, "S3_API_SECRET": SECRET}))
    cluster.apply(secret("s3-ca", namespace, {"ca.crt": server.ca_file.read_text()}))
    store = {
        "endpoint": server.endpoint,
        "bucket": BUCKET,
        "region": REGION,
        "prefix": "e2e",
        "credentialsSecret": "s3-key",
        "caSecret": "s3-ca",
    }
    state = {"size": "64Mi", "backups": {"keep": 5, "objectStore": store}}
    scenario.start(cluster, RUNNER, namespace, state=state)
    return RUNNER


def sha256_in_the_bucket(server: ObjectStore, path: str) -> str:
    """Of an object, through a client of the test's own; "" while there is none."""
    store = S3Store(
        BUCKET,
        config={
            "endpoint": server.endpoint,
            "region": REGION,
            "access_key_id": KEY,
            "secret_access_key": SECRET,
        },
        client_options={"root_certificate": server.ca_file.read_bytes()},
    )
    try:
        return hashlib.sha256(bytes(obstore.get(store, path).bytes())).hexdigest()
    except FileNotFoundError:
        return ""


def backup_of(cutover: Manifest, namespace: str) -> str:
    return f"e2e/{namespace}/{RUNNER}/backups/{cutover['status']['backup']['id']}/manifest.json"


def test_backups_reach_the_bucket_and_an_outage_holds_nothing_up(
    cluster: Cluster, namespace: str, server: ObjectStore, runner: str
) -> None:
    first = scenario.release(cluster, runner, namespace, scenario.NEXT)
    done = scenario.reaches(cluster, first, namespace, "Succeeded")
    wanted = done["status"]["backup"]["sha256"]
    where = backup_of(done, namespace)
    wait_for("the backup in the bucket", lambda: sha256_in_the_bucket(server, where) == wanted)
    wait_for(
        "the condition",
        lambda: is_true(
            cluster.get("TradingRunner", runner, namespace, API_VERSION), "BackupsStored"
        ),
    )

    folder = Path(server.log).parent
    server.kill()
    second = scenario.release(cluster, runner, namespace, scenario.GOOD)
    done = scenario.reaches(cluster, second, namespace, "Succeeded")

    def told() -> str:
        found = condition(cluster.runner(runner, namespace), "BackupsStored")
        return found["message"] if found and found["status"] == "False" else ""

    assert "gives no answer" in wait_for("the outage to be told", told)
    scenario.trading(cluster, runner, namespace)

    server.start(folder, NODE_GATEWAY)
    where, wanted = backup_of(done, namespace), done["status"]["backup"]["sha256"]
    wait_for("the copy to be made up for", lambda: sha256_in_the_bucket(server, where) == wanted)
