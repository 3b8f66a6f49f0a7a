"""Venues that a runner trades at."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradepulse_operator.api.base import Model, distinct, matches, required, rule
from tradepulse_operator.api.units import FreeForm, Name, ObjectName


class Connector(StrEnum):
    """Venue protocols the runner speaks."""

    PAPER = "paper"
    BINANCE = "binance"
    COINBASE = "coinbase"


Symbol = Annotated[
    str,
    Field(max_length=32),
    matches(
        r"^[A-Z0-9]+([-/][A-Z0-9]+)*$",
        "not a symbol: write capital letters and digits, joined by '-' or '/', e.g. BTC-USD",
    ),
]


_SYMBOLS = distinct("symbols must be different: remove the one that is listed twice")


class Venue(Model):
    """A venue that the runner trades at."""

    cel = (
        rule(
            "self.connector == 'paper' || has(self.credentialsSecret)",
            "credentialsSecret is required for a real venue: name the Secret that holds the API"
            " key",
            ".credentialsSecret",
            holds=lambda it: it.connector is Connector.PAPER or it.credentials_secret is not None,
            needs=["connector"],
        ),
    )

    name: Name = Field(description="Name of the venue, unique in its runner.")
    connector: Connector = Field(
        description="Protocol: paper, binance or coinbase.",
        json_schema_extra=required("write paper, binance or coinbase"),
    )
    sandbox: bool = Field(default=True, description="Trade at the venue's sandbox.")
    credentials_secret: ObjectName | None = Field(
        default=None,
        description="Secret with the API credentials; mounted as files, never read by the"
        " operator.",
    )
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64), _SYMBOLS] = Field(
        description="Instruments that may be traded, e.g. BTC-USD, paid in one currency; all others"
        " are refused.",
        json_schema_extra={
            "x-kubernetes-list-type": "set",
            **required("list the instruments that may be traded, e.g. BTC-USD"),
        },
    )
    options: FreeForm = Field(
        default={}, description="Options of the connector, e.g. the paper venue's seed."
    )
