"""What must be refused, at which field and in which words: for the API server and for offline."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from tests.support.schema.mutations import Manifest, Place, look, samples

#: In place of a value: the key is removed.
DROP = object()
RUNNER, CUTOVER = "tradingrunner", "releasecutover"


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A sample with `changes` must be refused: the error names `field` and says `remedy`.

    `offline`: the words of the offline check, where the API server's own check has others.
    """

    sample: str
    changes: dict[Place, Any]
    field: str
    remedy: str
    offline: str | None = None

    def __str__(self) -> str:
        return f"{self.sample} {self.field}: {self.remedy[:40]}"

    def manifest(self) -> Manifest:
        """The manifest that is refused."""
        return changed(samples()[self.sample], self.changes)


@dataclasses.dataclass(frozen=True)
class Transition:
    """An update of a stored object; refused at `field` with `remedy` unless that is empty."""

    sample: str
    changes: dict[Place, Any]
    field: str = ""
    remedy: str = ""
    before: dict[Place, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        places = ", ".join(".".join(map(str, place)) for place in self.changes)
        return f"{self.sample} {places}{'' if self.field else ' is allowed'}"


def changed(manifest: Manifest, changes: dict[Place, Any]) -> Manifest:
    """A copy with values set or dropped."""
    found = copy.deepcopy(manifest)
    for place, value in changes.items():
        parent = look(found, place[:-1])
        if value is DROP:
            del parent[place[-1]]
        else:
            parent[place[-1]] = value
    return found


def _spec(*place: str | int) -> Place:
    return ("spec", *place)


def _runner(place: Place, value: Any, name: str, remedy: str, **more: Any) -> Refusal:
    return Refusal(RUNNER, {place: value}, name, remedy, **more)


def _cutover(place: Place, value: Any, name: str, remedy: str, **more: Any) -> Refusal:
    return Refusal(CUTOVER, {place: value}, name, remedy, **more)


_VENUE = _spec("venues", 0)
_IMAGE = _spec("release", "image")
_STORE = {
    "endpoint": "https://s3.example.com:7070",
    "bucket": "backups",
    "credentialsSecret": "backup-key",
}
_DATABASE = {"hosts": ["db:5432"], "user": "runner", "tlsSecret": "database-client"}
_ADMIN: dict[str, Any] = {
    "tlsSecret": "admin-tls",
    "auditSecret": "admin-audit",
    "oauth": {"issuer": "https://a.test", "audience": "b", "jwksSecret": "keys"},
}
_SIEM: dict[str, Any] = {
    "endpoint": "https://siem.example.com/audit",
    "tokenUrl": "https://login.example.com/token",
    "clientId": "runner",
    "clientSecret": "siem-client",
}
_CLIENT = {"subject": "CN=ada", "scopes": ["state:read"]}
_MTLS = {"clientCaSecret": "desk-ca", "clients": [_CLIENT]}
_BUS: dict[str, Any] = {
    "bootstrapServers": ["kafka.example.com:9093"],
    "securityProtocol": "SSL",
    "tlsSecret": "kafka-tls",
}
_LIMITS = {
    "maxPosition": "set the largest position per symbol",
    "maxNotional": "set the largest total exposure",
    "maxOrderNotional": "set the largest single order",
    "maxOrdersPerInterval": "set how many orders may leave per interval",
    "maxDailyLoss": "set the loss that stops trading",
    "priceCollar": "set the largest distance from the market",
}
_REFERENCE = "is not the name of an image: write e.g. registry.example.com/runner:1.2.3"
_DURATION = "not a length of time: write e.g. 500ms, 15s, 5m or 1h30m"
_TEMPLATE = _spec("cutover")
_GUARDRAILS = "spec.cutover.template.guardrails"


_PAGER = {"alertmanager": "http://alertmanager.monitoring:9093", "receiver": "pagerduty"}


def _without(whole: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != field}


def _admin(field: str, remedy: str, **changes: Any) -> Refusal:
    """`field` is below spec.admin."""
    return _runner(_spec("admin"), {**_ADMIN, **changes}, f"spec.admin.{field}", remedy)


def _template(**guardrails: Any) -> dict[str, Any]:
    return {"template": {"guardrails": guardrails}}


def _grant(role: str, by: str) -> dict[str, Any]:
    return {"role": role, "by": by, "release": "151267c8a3"}


def _waiver(**change: Any) -> dict[str, Any]:
    found = {"check": "config", "by": "ada", "reason": "known"} | change
    return {key: value for key, value in found.items() if value is not None}


def _word(**change: Any) -> dict[str, Any]:
    found = {"check": "on-call", "by": "ada", "note": "seen"} | change
    return {key: value for key, value in found.items() if value is not None}


def _custom(**more: Any) -> dict[str, Any]:
    return {"name": "slippage", "query": "strategy_slippage", **more}


REQUIRED: tuple[Refusal, ...] = (
    _runner(_spec(), DROP, "spec", "say what should run, see manifests/samples"),
    _runner(_spec("release"), DROP, "spec.release", "name the image that runs"),
    _runner(_IMAGE, DROP, "spec.release.image", "name the image of the runner by tag or digest"),
    _runner(_spec("strategy"), DROP, "spec.strategy", "name the strategy that trades"),
    _runner(
        _spec("strategy", "name"), DROP, "spec.strategy.name", "name a strategy that the image"
    ),
    _runner(_spec("venues"), DROP, "spec.venues", "list at least one venue, with name, connector"),
    _runner(
        (*_VENUE, "connector"),
        DROP,
        "spec.venues[0].connector",
        "write paper, binance or coinbase",
    ),
    _runner(
        (*_VENUE, "symbols"),
        DROP,
        "spec.venues[0].symbols",
        "list the instruments that may be traded",
    ),
    _runner(_spec("risk"), DROP, "spec.risk", "a runner without limits never trades (RTS 6"),
    *(
        _runner(_spec("risk", name), DROP, f"spec.risk.{name}", remedy)
        for name, remedy in _LIMITS.items()
    ),
    *(
        _runner(
            _spec("state"),
            {"backups": {"objectStore": {k: v for k, v in _STORE.items() if k != field}}},
            f"spec.state.backups.objectStore.{field}",
            remedy,
        )
        for field, remedy in (
            ("endpoint", "write the server's address, e.g. https://s3.eu-central-1"),
            ("bucket", "name the bucket, which should keep versions"),
            ("credentialsSecret", "name the Secret that holds S3_API_KEY and S3_API_SECRET"),
        )
    ),
    *(
        _runner(
            _spec("database"),
            {k: v for k, v in _DATABASE.items() if k != field},
            f"spec.database.{field}",
            remedy,
        )
        for field, remedy in (
            ("hosts", "list the primary and its replicas, e.g. db-rw.databases.svc:5432"),
            ("user", "name the role that the client certificate is issued to"),
            ("tlsSecret", "name the Secret that holds ca.crt, tls.crt and tls.key"),
        )
    ),
    *(
        _runner(
            _spec("eventBus"),
            {k: v for k, v in _BUS.items() if k != field},
            f"spec.eventBus.{field}",
            remedy,
        )
        for field, remedy in (
            ("bootstrapServers", "list the brokers, e.g. kafka-0.kafka.example.com:9093"),
            ("securityProtocol", "write SSL or SASL_SSL"),
            ("tlsSecret", "name the Secret that holds ca.crt, and tls.crt and tls.key"),
        )
    ),
    _runner(
        _spec("killSwitchDrill"),
        {"target": "Rehearsal"},
        "spec.killSwitchDrill.schedule",
        "say when, e.g. '0 6 * * 1' for Mondays at 06:00 UTC",
    ),
    *(
        _runner(_spec("admin"), _without(_ADMIN, field), f"spec.admin.{field}", remedy)
        for field, remedy in (
            ("tlsSecret", "name the Secret with tls.crt and tls.key: a token sent in the clear"),
            ("auditSecret", "name the Secret that signs audit records: who did what must be"),
        )
    ),
    *(
        _admin(f"oauth.{field}", remedy, oauth=_without(_ADMIN["oauth"], field))
        for field, remedy in (
            ("issuer", "write the issuer as it is in the tokens' iss"),
            ("audience", "write the audience as it is in the tokens' aud"),
            ("jwksSecret", "name the Secret that holds jwks.json"),
        )
    ),
    *(
        _admin(f"mtls.{field}", remedy, mtls=_without(_MTLS, field))
        for field, remedy in (
            ("clientCaSecret", "name the Secret that holds ca.crt"),
            ("clients", "list who is let in, with subject and scopes"),
        )
    ),
    *(
        _admin(
            f"mtls.clients[0].{field}",
            remedy,
            mtls={**_MTLS, "clients": [_without(_CLIENT, field)]},
        )
        for field, remedy in (
            ("subject", "write the certificate's subject, e.g. CN=ada,O=desk"),
            ("scopes", "list what its holder may do, e.g. killswitch:write"),
        )
    ),
    *(
        _admin(f"siem.{field}", remedy, siem=_without(_SIEM, field))
        for field, remedy in (
            ("endpoint", "write the receiver's address, e.g. https://siem.example.com"),
            ("tokenUrl", "write where the token comes from, an https address"),
            ("clientId", "name the OAuth2 client"),
            ("clientSecret", "name the Secret that holds the client's secret"),
        )
    ),
    _cutover(_spec(), DROP, "spec", "name the runner to move, see manifests/samples"),
    _cutover(_spec("runner"), DROP, "spec.runner", "name the TradingRunner that is moved"),
    _cutover(
        _spec("guardrails"),
        {"custom": [{"name": "slippage", "max": 1}]},
        "spec.guardrails.custom[0].query",
        "write the PromQL that is judged",
    ),
)

RULES: tuple[Refusal, ...] = (
    _runner(("metadata", "name"), "a" * 53, "metadata.name", "longer than 52 characters: shorten"),
    _runner(("metadata", "name"), "a.b", "metadata.name", "is not the name of a runner: write"),
    _runner(("metadata", "name"), "1a", "metadata.name", "beginning with a letter"),
    _cutover(("metadata", "name"), "a" * 244, "metadata.name", "longer than 243 characters"),
    _cutover(_spec("runner"), "1a", "spec.runner", "not the name of a runner: write lower-case"),
    *(
        _runner(_IMAGE, image, "spec.release.image", remedy)
        for image, remedy in {
            "runner:latest": "must not be :latest, which names another image tomorrow: write",
            f"runner:latest@sha256:{'a' * 64}": "must not be :latest",
            "runner": "needs a tag or a digest: write name:1.2.3 or name@sha256:…",
            "localhost:5000/runner": "needs a tag or a digest",
            "Runner:1": _REFERENCE,
            "runner:1 ": _REFERENCE,
            f"runner@sha256:{'a' * 63}": _REFERENCE,
        }.items()
    ),
    _cutover(_IMAGE, "runner:latest", "spec.release.image", "must not be :latest"),
    _runner(_spec("release", "config"), "A_B", "spec.release.config", "not the name of an object"),
    _runner(_spec("strategy", "name"), "A B", "spec.strategy.name", "not a name: write lower-case"),
    _runner(
        _spec("venues"),
        [samples()[RUNNER]["spec"]["venues"][0]] * 2,
        "spec.venues",
        "venues must have different names: rename one",
    ),
    _runner(
        (*_VENUE, "connector"),
        "binance",
        "spec.venues[0].credentialsSecret",
        "credentialsSecret is required for a real venue: name the Secret that holds the API key",
    ),
    _runner(
        (*_VENUE, "symbols"),
        ["BTC-USD", "BTC-USD"],
        "spec.venues[0].symbols",
        "symbols must be different: remove the one that is listed twice",
    ),
    _runner(
        (*_VENUE, "symbols"),
        ["btc"],
        "spec.venues[0].symbols[0]",
        "not a symbol: write capital letters and digits, joined by '-' or '/', e.g. BTC-USD",
    ),
    _runner(
        _spec("risk", "maxNotional"), "a lot", "spec.risk.maxNotional", "write digits in quotes"
    ),
    _runner(
        _spec("risk", "maxPosition"), "0.00", "spec.risk.maxPosition", "zero is not allowed: write"
    ),
    _runner(
        _spec("risk", "maxOrderNotional"),
        "500000.000000001",
        "spec.risk.maxOrderNotional",
        "maxOrderNotional must not be above maxNotional, such an order could never be sent: lower",
    ),
    _runner(
        _spec("risk", "softDailyLoss"),
        "10000",
        "spec.risk.softDailyLoss",
        "softDailyLoss must be below maxDailyLoss, which stops trading altogether: lower it",
    ),
    _runner(
        _spec("risk", "killSwitchLimitMultiplier"),
        "0.99",
        "spec.risk.killSwitchLimitMultiplier",
        "killSwitchLimitMultiplier must be at least 1, below it an order that keeps its limits",
    ),
    _runner(
        _spec("risk", "maxDuplicates"),
        3,
        "spec.risk.maxDuplicates",
        "maxDuplicates and duplicateWindowSeconds belong together: set both or none",
    ),
    _runner(
        _spec("risk", "priceCollar"),
        "5",
        "spec.risk.priceCollar",
        'not a share below 1: write a decimal in quotes, e.g. "0.05" for 5 percent',
    ),
    _runner(
        _spec("state"),
        {"size": "big"},
        "spec.state.size",
        "not a size in bytes: write e.g. 256Mi or 1Gi",
    ),
    *(
        _runner(
            _spec("state"),
            {"backups": {"objectStore": {**_STORE, field: value}}},
            f"spec.state.backups.objectStore.{field}",
            said,
        )
        for field, value, said in (
            ("endpoint", "http://s3.example.com", "not an https address: write e.g. https://"),
            ("endpoint", "https://s3.example.com/bucket", "not an https address"),
            ("bucket", "Bucket", "not the name of a bucket: write 3 to 63 lower-case letters"),
            ("region", "eu_central", "not a region: write e.g. eu-central-1"),
            ("prefix", "../other", "not a folder: write letters, digits"),
            ("credentialsSecret", "A_Name", "not the name of an object"),
            ("caSecret", "A_Name", "not the name of an object"),
        )
    ),
    _runner(
        _spec("admin"),
        _without(_ADMIN, "oauth"),
        "spec.admin.oauth",
        "admin needs oauth, mtls or both: nobody may ask without saying who they are",
    ),
    _admin(
        "mtls.clients",
        "clients must have different subjects: list all scopes of one in one entry",
        mtls={**_MTLS, "clients": [_CLIENT, _CLIENT]},
    ),
    _admin(
        "mtls.clients[0].scopes",
        "scopes must be different: remove the one that is listed twice",
        mtls={**_MTLS, "clients": [{**_CLIENT, "scopes": ["state:read"] * 2}]},
    ),
    *(
        _admin(
            "mtls.clients[0].subject",
            "not a distinguished name: write it as `openssl x509 -noout -subject",
            mtls={**_MTLS, "clients": [{**_CLIENT, "subject": subject}]},
        )
        for subject in ("ada", "CN=", "CN=a,,O=b", "CN=a\nb", "cn=ada", 'CN="ada"')
    ),
    *(
        _admin(f"siem.{field}", "not an https address without a query", siem={**_SIEM, field: url})
        for field, url in (
            ("endpoint", "http://siem.example.com"),
            ("endpoint", "https://siem.example.com/audit?key=secret"),
            ("tokenUrl", "https://user:word@login.example.com"),
        )
    ),
    _admin("siem.clientId", "not a word: write printable ASCII", siem={**_SIEM, "clientId": " a"}),
    *(
        _admin("allowFrom[0].cidr", "a peer is either a cidr, or pods", allowFrom=[peer])
        for peer in ({}, {"cidr": "192.0.2.0/24", "podLabels": {"app": "console"}})
    ),
    *(
        _admin("allowFrom[0].cidr", "not a range of IPv4 addresses", allowFrom=[{"cidr": cidr}])
        for cidr in ("192.0.2.0", "192.0.2.0/33", "192.0.2.256/32", "192.0.2.01/32", "fd00::/8")
    ),
    *(
        _runner(_spec("eventBus"), {**_BUS, **changes}, f"spec.eventBus.{field}", said)
        for changes, field, said in (
            ({"bootstrapServers": ["kafka"]}, "bootstrapServers[0]", "write HOST:PORT"),
            ({"bootstrapServers": ["kafka:65536"]}, "bootstrapServers[0]", "write HOST:PORT"),
            ({"bootstrapServers": ["k:1", "k:1"]}, "bootstrapServers", "listed twice"),
            ({"tlsSecret": "A_Name"}, "tlsSecret", "not the name of an object"),
            ({"topicPrefix": "trade pulse"}, "topicPrefix", "not the beginning of a topic"),
            ({"readers": ["a b"]}, "readers[0]", "not the name of a consumer group: write letters"),
            ({"readers": ["desk", "desk"]}, "readers", "remove the group that is listed twice"),
            ({"saslSecret": "user"}, "saslSecret", "saslSecret belongs to securityProtocol SASL_"),
            (
                {"saslMechanism": "PLAIN"},
                "saslMechanism",
                "saslMechanism belongs to securityProtocol SASL_SSL: write e.g. SCRAM-SHA-512",
            ),
            (
                {"securityProtocol": "SASL_SSL", "saslMechanism": "PLAIN"},
                "saslSecret",
                "name the Secret that holds KAFKA_API_KEY and KAFKA_API_SECRET",
            ),
            (
                {"securityProtocol": "SASL_SSL", "saslSecret": "user"},
                "saslMechanism",
                "write e.g. SCRAM-SHA-512 there",
            ),
        )
    ),
    *(
        _runner(
            _spec("database"),
            {**_DATABASE, "hosts": [value]},
            "spec.database.hosts[0]",
            "not HOST:PORT: write e.g. db-rw.databases.svc:5432",
        )
        for value in ("db", "db:0", "db:65536", "postgres://db:5432", "db:5432,other", "[::1]")
    ),
    _runner(
        _spec("database"),
        {**_DATABASE, "hosts": ["db:5432", "db:5432"]},
        "spec.database.hosts",
        "hosts must be different: remove the one that is listed twice",
    ),
    *(
        _runner(_spec("database"), {**_DATABASE, field: value}, f"spec.database.{field}", said)
        for field, value, said in (
            ("user", "a b", "not a name that PostgreSQL has: write letters, digits"),
            ("name", "1st", "not a name that PostgreSQL has"),
            ("tlsSecret", "A_Name", "not the name of an object"),
        )
    ),
    *(
        _runner(
            _spec("killSwitch"),
            {"engaged": True, **reason},
            "spec.killSwitch.reason",
            "killSwitch.reason is required when it is engaged: say who stops trading and why",
        )
        for reason in ({}, {"reason": "  "})
    ),
    _runner(
        _spec("killSwitch"),
        {"reason": "two\nlines"},
        "spec.killSwitch.reason",
        "must be one line: remove line breaks and control characters",
    ),
    *(
        _runner(
            _spec("killSwitchDrill"),
            {"schedule": schedule},
            "spec.killSwitchDrill.schedule",
            "not a schedule: write minute, hour, day of month (1 to 28), month and day of week in",
        )
        for schedule in (
            "",
            "@daily",
            "0 6 * *",
            "60 6 * * *",
            "0 24 * * *",
            "0 6 31 * *",
            "0 6 * 0 *",
            "0 6 * * MON",
            "*/0 * * * *",
            "0  6 * * *",
            "0 0 6 * * *",
            "0 6 * * 1\n",
        )
    ),
    *(
        _runner(
            _spec("killSwitchDrill"),
            {"schedule": schedule},
            "spec.killSwitchDrill.schedule",
            "a range of the schedule must rise: write the smaller number first, e.g. 1-5",
        )
        for schedule in ("0 6 * * 5-1", "30,20-9/2 * * * *")
    ),
    *(
        _runner(
            _spec("killSwitchDrill"),
            {"schedule": schedule, "target": "Live"},
            "spec.killSwitchDrill.schedule",
            "schedule must name one minute and one hour with target Live, which stops trading",
        )
        for schedule in ("* 6 * * 1", "0 */6 * * *", "0,30 6 * * *")
    ),
    *(
        _runner(
            _spec("killSwitchDrill"),
            {"schedule": "0 6 * * 1", "target": "Live", "alert": {**_PAGER, **change}},
            f"spec.killSwitchDrill.alert.{field}",
            remedy,
        )
        for field, change, remedy in (
            ("alertmanager", {"alertmanager": "am:9093"}, "not a URL without a user: write e.g."),
            ("alertmanager", {"alertmanager": "http://a:b@am"}, "not a URL without a user: write"),
            ("receiver", {"receiver": ""}, "not the name of a receiver: write it as in"),
            ("integration", {"integration": "Pager Duty"}, "not an integration: write e.g."),
            ("within", {"within": "4s"}, "within must be 5s to 10m: trading stands still"),
            ("within", {"within": "11m"}, "within must be 5s to 10m: trading stands still"),
        )
    ),
    *(
        _runner(
            _spec("killSwitchDrill"),
            {"schedule": "0 6 * * 1", "target": "Live", "alert": _without(_PAGER, field)},
            f"spec.killSwitchDrill.alert.{field}",
            remedy,
        )
        for field, remedy in (
            ("alertmanager", "write e.g. http://alertmanager-operated.monitoring:9093"),
            ("receiver", "name the receiver of Alertmanager that pages people"),
        )
    ),
    _runner(
        _spec("killSwitchDrill"),
        {"schedule": "0 6 * * 1", "alert": _PAGER},
        "spec.killSwitchDrill.alert",
        "alert belongs to target Live, as a rehearsal has no network and fires no alert",
    ),
    _runner(
        _spec("monitoring"),
        {"labels": {"a b": "c"}},
        "spec.monitoring.labels",
        "not the key of a label: write e.g. team or example.com/team",
    ),
    _runner(
        _spec("pod"),
        {"nodeSelector": {"zone": "a b"}},
        "spec.pod.nodeSelector[zone]",
        "not the value of a label: write letters, digits",
    ),
    _runner(
        _spec("pod"),
        {"resources": {"cpu": "half"}},
        "spec.pod.resources.cpu",
        'not an amount of CPU: write e.g. 100m or "0.5"',
    ),
    _runner(
        _spec("pod"),
        {"tolerations": [{"operator": "Equal"}]},
        "spec.pod.tolerations[0].key",
        "key is required with operator Equal: name the taint, or write operator Exists",
    ),
    _runner(
        _spec("pod"),
        {"tolerations": [{"operator": "Exists", "value": "x"}]},
        "spec.pod.tolerations[0].value",
        "value must be left out with operator Exists: remove it, or write operator Equal",
    ),
    _runner(
        _TEMPLATE,
        _template(metricGap="15s"),
        f"{_GUARDRAILS}.metricGap",
        "metricGap must be longer than monitoring.scrapeInterval, else every scrape is a gap",
    ),
    _runner(
        _TEMPLATE,
        _template(window="29s"),
        f"{_GUARDRAILS}.window",
        "window must hold two scrapes, else nothing can be judged: raise window to twice",
    ),
    _cutover(
        _spec("guardrails"),
        {"prometheus": "prometheus:9090"},
        "spec.guardrails.prometheus",
        "not a URL: write e.g. http://prometheus-operated.monitoring:9090",
    ),
    *(
        _cutover(
            _spec("baseline"),
            {"window": window},
            "spec.baseline.window",
            "baseline.window must be from 1m to 1h: raise or lower window",
        )
        for window in ("59s", "1h1ms")
    ),
    *(
        _cutover(_spec("baseline"), {part: value}, f"spec.baseline.{part}.{name}", remedy)
        for part, value, name, remedy in (
            ("kafka", {}, "maxLag", "write how many records a reader may be behind"),
            ("kafka", {"maxLag": -1}, "maxLag", "greater than or equal to 0"),
            ("kafka", {"maxLag": 10**9 + 1}, "maxLag", "less than or equal to 1000000000"),
            ("postgres", {}, "maxReplicaLag", "write how long a replica may be behind, e.g. 10s"),
            ("postgres", {"maxReplicaLag": "0s"}, "maxReplicaLag", "zero is not allowed"),
            ("postgres", {"maxReplicaLag": "soon"}, "maxReplicaLag", _DURATION),
        )
    ),
    *(
        _runner(
            _TEMPLATE,
            {"template": {"baseline": {part: value}}},
            f"spec.cutover.template.baseline.{part}",
            remedy,
        )
        for part, value, remedy in (
            ("kafka", {"maxLag": 1}, "baseline.kafka belongs to eventBus.readers: name the"),
            (
                "postgres",
                {"maxReplicaLag": "1s"},
                "baseline.postgres belongs to database: add spec.database, or remove postgres",
            ),
        )
    ),
    Refusal(
        RUNNER,
        {_spec("eventBus"): _BUS, _TEMPLATE: {"template": {"baseline": {"kafka": {"maxLag": 1}}}}},
        "spec.cutover.template.baseline.kafka",
        "baseline.kafka belongs to eventBus.readers: name the",
    ),
    _cutover(
        _spec("guardrails"),
        {"interval": "999ms"},
        "spec.guardrails.interval",
        "interval must be at least 1s",
    ),
    _cutover(
        _spec("guardrails"),
        {"window": "14s"},
        "spec.guardrails.window",
        "window must not be shorter than interval: raise window or lower interval",
    ),
    _cutover(
        _spec("guardrails"),
        {"p95Latency": "10s1ms"},
        "spec.guardrails.p95Latency",
        "p95Latency must not be above 10s, the largest latency that the runner's histogram tells",
    ),
    _cutover(
        _spec("guardrails"),
        {"custom": [_custom()]},
        "spec.guardrails.custom[0]",
        "a custom guardrail needs a limit: set max, min or both",
    ),
    _cutover(
        _spec("guardrails"),
        {"custom": [_custom(min=2, max=1.5)]},
        "spec.guardrails.custom[0].min",
        "min must not be above max, no value could pass: lower min or raise max",
    ),
    _cutover(
        _spec("guardrails"),
        {"custom": [_custom(min=1), _custom(max=1)]},
        "spec.guardrails.custom",
        "custom guardrails must have different names: rename one",
    ),
    *(
        _cutover(_spec("approvals"), {"granted": [_grant("risk", "ada") | change]}, name, remedy)
        for change, name, remedy in (
            ({"role": "A B"}, "spec.approvals.granted[0].role", "not a name: write lower-case"),
            ({"by": ""}, "spec.approvals.granted[0].by", "at least 1 char"),
            ({"release": ""}, "spec.approvals.granted[0].release", "at least 1 char"),
        )
    ),
    *(
        _cutover(
            _spec("approvals"),
            {"granted": [{k: v for k, v in _grant("risk", "ada").items() if k != left_out}]},
            f"spec.approvals.granted[0].{left_out}",
            remedy,
        )
        for left_out, remedy in (
            ("by", "name who signs, as in `kubectl auth whoami`"),
            ("release", "copy status.target.id of the cutover"),
        )
    ),
    _cutover(
        _spec("approvals"),
        {"granted": [_grant("risk", "ada"), _grant("platform", "ada")]},
        "spec.approvals.granted",
        "one person must not sign for two roles: let another person sign",
    ),
    _cutover(_spec("bake"), "5 minutes", "spec.bake", _DURATION),
    _cutover(_spec("bake"), "0s", "spec.bake", "zero is not allowed: write a value above zero"),
    *(
        _cutover(_spec("checklist"), [item], f"spec.checklist[0].{name}", remedy)
        for item, name, remedy in (
            ({"name": "on-call"}, "manual", "write in manual what a person has to check"),
            ({"name": "image", "manual": "x"}, "manual", "name must be a check that the operator"),
            ({"name": "rehearsal", "manual": "x"}, "name", "set rehearsal.required of the policy"),
            ({"name": "image", "maxAge": "1h"}, "maxAge", "maxAge belongs to kill-switch-drill"),
        )
    ),
    *(
        _cutover(_spec("waivers"), [_waiver(**change)], f"spec.waivers[0].{name}", remedy)
        for change, name, remedy in (
            ({"check": "samples"}, "check", "this check can't be waived, without it nobody"),
            ({"reason": " "}, "reason", "must say something in one line: write why"),
            ({"reason": "a\nb"}, "reason", "must say something in one line: write why"),
            ({"reason": None}, "reason", "say why it is right to go on, in one line"),
            ({"by": None}, "by", "name who answers for it, as in `kubectl auth whoami`"),
        )
    ),
    *(
        _cutover(_spec("confirmations"), [_word(**change)], f"spec.confirmations[0].{name}", remedy)
        for change, name, remedy in (
            ({"note": ""}, "note", "must say something in one line: write why"),
            ({"note": None}, "note", "say what was seen, in one line"),
            ({"by": None}, "by", "name who checked it, as in `kubectl auth whoami`"),
        )
    ),
    _cutover(
        _spec("bake"),
        "14s",
        "spec.bake",
        "bake must not be shorter than guardrails.interval, else nothing is judged: raise bake",
    ),
    _cutover(
        _spec("rollback"),
        {"deadline": "1m"},
        "spec.rollback.deadline",
        "rollback.deadline must be longer than guardrails.window, for which a rollback is verified",
    ),
)

#: What the API server's own check words, well enough.
SERVERS_OWN: tuple[Refusal, ...] = (
    _runner(
        (*_VENUE, "connector"),
        "kraken",
        "spec.venues[0].connector",
        'Unsupported value: "kraken": supported values: "paper", "binance", "coinbase"',
        offline="Input should be 'paper', 'binance' or 'coinbase'",
    ),
    _runner(
        (*_VENUE, "name"),
        DROP,
        "spec.venues[0].name",
        "Required value",
    ),
    _runner(
        _spec("venues"),
        [],
        "spec.venues",
        "should have at least 1 items",
        offline="should have at least 1 item",
    ),
    _runner(
        _spec("risk", "maxOrdersPerInterval"),
        0,
        "spec.risk.maxOrdersPerInterval",
        "should be greater than or equal to 1",
    ),
    _runner(
        _spec("risk", "priceCollar"),
        0.05,
        "spec.risk.priceCollar",
        'must be of type string: "number"',
        offline="should be a valid string",
    ),
    _cutover(
        _spec("guardrails"),
        {"errorRate": 0},
        "spec.guardrails.errorRate",
        "should be greater than 0",
    ),
    _cutover(
        _spec("onInconclusive"),
        "Promote",
        "spec.onInconclusive",
        'supported values: "Hold", "Rollback"',
        offline="Input should be 'Hold' or 'Rollback'",
    ),
    _cutover(
        _spec("guardrails"),
        {"custom": [_custom(max=1, name=f"n{index}") for index in range(17)]},
        "spec.guardrails.custom",
        "must have at most 16 items",
        offline="should have at most 16 items",
    ),
)

_NEW = "create a new ReleaseCutover"
_MOVE = "create a new runner to move its state"

TRANSITIONS: tuple[Transition, ...] = (
    Transition(RUNNER, {_IMAGE: "runner:2"}),
    Transition(RUNNER, {_spec("state"): {"size": "1.5Gi"}}),
    Transition(RUNNER, {_spec("state"): {"size": "1024Mi"}}),
    Transition(
        RUNNER,
        {_spec("state"): {"size": "1023Mi"}},
        "spec.state.size",
        "size can only grow, a volume never shrinks: write the old size or a larger one",
    ),
    Transition(
        RUNNER,
        {_spec("state"): {"storageClass": "fast"}},
        "spec.state.storageClass",
        f"storageClass is immutable: {_MOVE}",
    ),
    Transition(
        RUNNER,
        {_spec("state"): DROP},
        "spec.state.storageClass",
        f"storageClass is immutable: {_MOVE}",
        before={_spec("state"): {"storageClass": "fast"}},
    ),
    Transition(
        RUNNER,
        {_spec("state"): {"accessMode": "ReadWriteOnce"}},
        "spec.state.accessMode",
        f"accessMode is immutable: {_MOVE}",
    ),
    Transition(CUTOVER, {_spec("abort"): True}),
    Transition(
        CUTOVER,
        {_spec("approvals"): {"required": ["risk"], "granted": [_grant("risk", "ada")]}},
        before={_spec("approvals"): {"required": ["risk"]}},
    ),
    Transition(
        CUTOVER,
        {_spec("approvals"): {"required": []}},
        "spec.approvals.required",
        f"approvals.required is immutable: {_NEW}",
        before={_spec("approvals"): {"required": ["risk"]}},
    ),
    Transition(CUTOVER, {_spec("waivers"): [_waiver()]}),
    Transition(
        CUTOVER,
        {_spec("waivers"): [_waiver(), _waiver(check="image")]},
        before={_spec("waivers"): [_waiver()]},
    ),
    *(
        Transition(
            CUTOVER,
            {_spec("waivers"): after},
            "spec.waivers",
            "waivers can only grow: leave what was said as it is, and add to it",
            before={_spec("waivers"): [_waiver()]},
        )
        for after in ([], [_waiver(reason="another")], [_waiver(check="image")])
    ),
    Transition(
        CUTOVER,
        {_spec("confirmations"): [_word(by="eve")]},
        "spec.confirmations",
        "confirmations can only grow: leave what was said as it is",
        before={_spec("confirmations"): [_word()]},
    ),
    Transition(CUTOVER, {("metadata", "labels"): {"team": "market-making"}}),
    Transition(
        CUTOVER,
        {_spec("abort"): False},
        "spec.abort",
        f"abort can't be taken back: {_NEW}",
        before={_spec("abort"): True},
    ),
    Transition(CUTOVER, {_spec("runner"): "other"}, "spec.runner", "runner is immutable: create"),
    Transition(
        CUTOVER,
        {_IMAGE: "runner:2"},
        "spec.release",
        f"release is immutable: {_NEW} for another release",
    ),
    Transition(CUTOVER, {_spec("release"): DROP}, "spec.release", "release is immutable"),
    Transition(
        CUTOVER,
        {_spec("release"): {"image": "runner:2"}},
        "spec.release",
        "release is immutable",
        before={_spec("release"): DROP},
    ),
    *(
        Transition(CUTOVER, {_spec(name): value}, f"spec.{name}", f"{name} is immutable: {_NEW}")
        for name, value in {
            "checklist": [{"name": "image"}],
            "rehearsal": {"required": True},
            "guardrails": {"errorRate": 1},
            "baseline": {"window": "5m"},
            "bake": "1m",
            "haltDeadline": "2m",
            "switchDeadline": "1m",
            "rollback": {"state": "Keep"},
            "onInconclusive": "Rollback",
        }.items()
    ),
)
