"""Three brokers that are controllers too, or fewer; nothing is allowed without an ACL."""

from __future__ import annotations

import asyncio
import itertools
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import AlterConfigsRequest

from tests.support.cluster import packages
from tests.support.cluster.drafts import draft_of
from tests.support.cluster.progress import Step, StepFailed
from tests.support.cluster.settings import Paths, inputs_key
from tests.support.services.process import Child
from tests.support.services.service import LOOPBACK, free_port
from tests.support.services.tls import Authority, Pair

POM = Path(__file__).with_name("pom.xml")
CLUSTER = "Zm9ydHktdHdvLWtyYWZ0IQ"
ADMIN = "admin"
#: Seconds that brokers have to leave in order; nobody needs what they would save.
LEAVE = 2.0
_SMALL = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
_BROKER = 4  # of the resources that a configuration belongs to


def libraries() -> Path:
    """Where Kafka's jars lie, or will lie."""
    return Paths.default().cache / f"kafka-{inputs_key(POM)}"


def java(*words: str | Path, archive: str = "SharedArchiveFile") -> list[str]:
    """A program of Kafka's, by its class."""
    jars = libraries()
    shared = f"-XX:{archive}={jars}.jsa"  # without it the JVM says nothing and is slower
    return ["java", *_SMALL, shared, _QUIET, "-cp", f"{jars}/*", *(str(word) for word in words)]


def _ensure_java(step: Step) -> None:
    """A Java runtime and Maven, from Debian where they are missing."""
    if shutil.which("java") and shutil.which("mvn"):
        return
    step.waits_for("Debian's Java and Maven")
    packages.install(Paths.default(), step, "default-jre-headless", "maven")


class Kafka:
    """A cluster; each broker can be killed and started again where it was.

    ``brokers``: how many; a topic has as many replicas, at most three. ``scram``:
    password by user who may log in beside the certificates. ``advertised``: where clients find the
    brokers, when that isn't where they listen.
    """

    name = "kafka"

    def __init__(
        self,
        *,
        brokers: int = 3,
        scram: Mapping[str, str] | None = None,
        advertised: str | None = None,
    ) -> None:
        self.nodes, self._copies = tuple(range(1, brokers + 1)), min(3, brokers)
        self._scram, self._advertised = dict(scram or {}), advertised
        self._children: dict[int, Child] = {}
        self._ports: dict[int, tuple[int, int, int]] = {}
        self._folder, self._host = Path(), LOOPBACK
        self._keystore, self._truststore = Path(), Path()
        self._numbers, self._known = itertools.count(1), set[Path]()
        self.authority: Authority
        self.admin: Pair

    # -- life ------------------------------------------------------------------------------

    def install(self, step: Step) -> None:
        _ensure_java(step)
        target = libraries()
        if not target.is_dir():
            step.waits_for("Maven")
            self._fetch(target)
        if not target.with_suffix(".jsa").is_file():
            step.waits_for("an archive of its classes, with which brokers start sooner")
            _archive()

    def _fetch(self, target: Path) -> None:
        with draft_of(target) as draft:
            if not draft:
                return
            command = [
                *("mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"),
                *(f"-DoutputDirectory={draft}", "-DincludeScope=runtime"),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise StepFailed(f"mvn could not fetch Kafka: {done.stdout[-500:]}")

    def start(self, folder: Path, host: str = LOOPBACK) -> Mapping[str, str]:
        self._folder, self._host = folder, host
        tls = folder / "tls"
        self.authority = Authority(tls)
        self.admin = self.authority.issue(ADMIN)
        self._trust(self.authority.certificate)
        self._certify(self.authority)
        self._ports = {n: (free_port(host), free_port(host), free_port(host)) for n in self.nodes}
        for node in self.nodes:
            (folder / f"{node}.properties").write_text(self._properties(node))
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(self._format, self.nodes))
        for node in self.nodes:
            self.start_broker(node)
        for node in self.nodes:
            self.wait_for(node)
        return {
            "KAFKA_SSL": self.servers(1),
            "KAFKA_SASL_SSL": self.servers(2),
            "KAFKA_CA_FILE": str(self.authority.certificate),
            "KAFKA_CERT_FILE": str(self.admin.certificate),
            "KAFKA_KEY_FILE": str(self.admin.key),
        }

    def stop(self) -> None:
        """End all of them at once: one after the other would wait for a quorum that is gone."""
        deadline = time.monotonic() + LEAVE
        for child in self._children.values():
            child.signal(signal.SIGTERM)
        while any(c.running for c in self._children.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in self._children.values():
            child.kill()

    def kill_broker(self, node: int) -> None:
        """SIGKILL."""
        self._children[node].kill()

    def freeze(self) -> None:
        """All of them keep their connections and answer nothing, until :meth:`thaw`."""
        for child in self._children.values():
            child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        for child in self._children.values():
            child.signal(signal.SIGCONT)

    def start_broker(self, node: int) -> None:
        """Start one broker where it was; see :meth:`wait_for`."""
        command = java("kafka.Kafka", self._folder / f"{node}.properties")
        self._children[node] = Child(command, self._folder / f"{node}.log")

    def wait_for(self, node: int) -> None:
        """Return once the broker knows all of them."""
        self._children[node].wait_until(lambda: self._answers(node), f"broker {node}", 60)

    # -- where and how ---------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where clients find the brokers."""
        return self._advertised or self._host

    def servers(self, listener: int) -> str:
        """Bootstrap servers of one listener: 1 mTLS, 2 SCRAM."""
        return ",".join(f"{self.address}:{self._ports[node][listener]}" for node in self.nodes)

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """Of a client with ``pair``; the administrator's when left out."""
        shown = pair or self.admin
        context = ssl.create_default_context()
        for authority in self._known:
            context.load_verify_locations(cafile=authority)
        context.load_cert_chain(shown.certificate, shown.key)
        return context

    def client(self, servers: str = "") -> AIOKafkaAdminClient:
        """An administrator's client, not started yet."""
        return AIOKafkaAdminClient(
            bootstrap_servers=servers or self.servers(1),
            security_protocol="SSL",
            ssl_context=self.context(),
            request_timeout_ms=30_000,
        )

    # -- orders to it ----------------------------------------------------------------------

    async def create_topics(self, names: Sequence[str], partitions: int = 3) -> None:
        """With three replicas, two of which must have what is acknowledged, where there are so
        many brokers."""
        admin = self.client()
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, self._copies) for name in names])
            while not set(names) <= set(await admin.list_topics()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    def acls(self, command: str) -> None:
        """Run a ``kafka-acls`` command as an administrator; its own options are added."""
        words = shlex.split(command)
        assert words[0] == "kafka-acls", command
        done = subprocess.run(
            java("org.apache.kafka.tools.AclCommand", *words[1:]),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or "Error" in done.stdout:
            raise StepFailed(f"{command}: {(done.stdout + done.stderr)[-800:]}")

    def command_config(self) -> Path:
        """Client properties of the administrator, for ``--command-config``."""
        target, store = self._folder / "admin.properties", self._folder / "tls" / "admin-store.pem"
        store.write_bytes(self.admin.key.read_bytes() + self.admin.certificate.read_bytes())
        values = {
            "security.protocol": "SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._truststore),
        }
        target.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        return target

    async def trust(self, *authorities: Authority) -> None:
        """From now on believe certificates of these alone, without a restart."""
        self._trust(*(each.certificate for each in authorities))
        await self._reload()

    async def certify(self, authority: Authority) -> None:
        """From now on show certificates of ``authority``, without a restart."""
        self._certify(authority)
        self.admin = authority.issue(ADMIN)
        await self._reload()

    async def _reload(self) -> None:
        """Tell each broker, of each listener, where its files are now: always new ones."""
        stores = {"keystore": self._keystore, "truststore": self._truststore}
        values = [
            (f"listener.name.{at}.ssl.{store}.{name}", value)
            for at in ("ssl", "sasl_ssl")
            for store, path in stores.items()
            for name, value in (("location", str(path)), ("type", "PEM"))
        ]
        admin = self.client()
        await admin.start()
        try:
            for node in self.nodes:
                request = AlterConfigsRequest(resources=[(_BROKER, str(node), values)])
                answer = await admin._send_request_to_node(node, request)
                for code, why, *_ in answer.resources:
                    if code:
                        raise StepFailed(f"broker {node}: {why}")
        finally:
            await admin.close()

    # -- files -----------------------------------------------------------------------------

    def _trust(self, *certificates: Path) -> None:
        self._truststore = self._folder / "tls" / f"trust-{next(self._numbers)}.pem"
        self._truststore.write_bytes(b"".join(path.read_bytes() for path in certificates))
        self._known |= set(certificates)

    def _certify(self, authority: Authority) -> None:
        server = authority.issue("broker", sorted({self._host, self.address, LOOPBACK}))
        self._keystore = self._folder / "tls" / f"broker-{next(self._numbers)}.pem"
        self._keystore.touch(0o600)
        self._keystore.write_bytes(server.key.read_bytes() + server.certificate.read_bytes())

    def _answers(self, node: int) -> bool:
        port = self._ports[node][1]
        return _listens(self.address, port) and asyncio.run(self._whole(f"{self.address}:{port}"))

    async def _whole(self, server: str) -> bool:
        admin = self.client(server)
        try:
            await admin.start()
            return len((await admin.describe_cluster())["brokers"]) == len(self.nodes)
        except KafkaError:
            return False
        finally:
            await admin.close()

    def _format(self, node: int) -> None:
        users = [
            f"SCRAM-SHA-512=[name={name},password={password}]"
            for name, password in self._scram.items()
        ]
        command = java(
            *("kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER),
            *("--config", self._folder / f"{node}.properties"),
            *(word for user in users for word in ("--add-scram", user)),
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"broker {node} has no storage: {(done.stdout + done.stderr)[-800:]}")

    def _properties(self, node: int) -> str:
        controller, mutual, scram = self._ports[node]
        inside = LOOPBACK if self._host == "0.0.0.0" else self._host
        quorum = ",".join(f"{n}@{inside}:{self._ports[n][0]}" for n in self.nodes)
        values = {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": quorum,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"SSL://{self._host}:{mutual},SASL_SSL://{self._host}:{scram},"
            f"CONTROLLER://{self._host}:{controller}",
            "advertised.listeners": f"SSL://{self.address}:{mutual},"
            f"SASL_SSL://{self.address}:{scram}",
            "listener.security.protocol.map": "SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._truststore),
            "ssl.client.auth": "required",
            "listener.name.sasl_ssl.ssl.client.auth": "none",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:CN=broker;User:CN={ADMIN}",
            "allow.everyone.if.no.acl.found": "false",
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(self._copies),
            "min.insync.replicas": str(min(2, self._copies)),
            "offsets.topic.replication.factor": str(self._copies),
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.replication.factor": str(self._copies),
            "transaction.state.log.min.isr": str(min(2, self._copies)),
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker is noticed within seconds.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": "16777216",
            "log.dirs": str(self._folder / f"data-{node}"),
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _archive() -> None:
    """Have a broker of its own start and end once: the JVM then keeps what it loaded."""
    with tempfile.TemporaryDirectory(prefix="kafka-") as name:
        folder, client, controller = Path(name), free_port(), free_port()
        values = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{client},CONTROLLER://{LOOPBACK}:{controller}",
            "log.dirs": f"{folder}/data",
        }
        config = folder / "server.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        tool = ("kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config", config)
        subprocess.run(java(*tool), check=True, capture_output=True)
        command = java("kafka.Kafka", config, archive="ArchiveClassesAtExit")
        broker = Child(command, folder / "log")
        broker.wait_until(lambda: _listens(LOOPBACK, client), "the broker")
        broker.signal(signal.SIGTERM)
        broker.wait()
