"""What Binance says when it refuses (errors.md)."""

from __future__ import annotations

from tests.support.venues.exchange import Reason, Refused


class ApiError(Exception):
    """A refusal in Binance's words. ``retry_after``: seconds, for the header of that name."""

    def __init__(
        self, code: int, message: str, *, status: int = 400, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after

    def body(self) -> dict[str, object]:
        return {"code": self.code, "msg": self.message}


def filter_failure(name: str) -> ApiError:
    return ApiError(-1013, f"Filter failure: {name}")


def mandatory(name: str) -> ApiError:
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def no_such_order() -> ApiError:
    return ApiError(-2013, "Order does not exist.")


def unknown_order() -> ApiError:
    return ApiError(-2011, "Unknown order sent.")


def throttled(seconds: float, *, ban: bool = False) -> ApiError:
    """429, or 418 for who went on after it."""
    wait = max(1, round(seconds))
    if ban:
        text = "Way too much request weight used; IP banned. Please use WebSocket Streams for live"
        return ApiError(-1003, f"{text} updates to avoid bans.", status=418, retry_after=wait)
    text = "Too much request weight used; current limit is exceeded. Please use WebSocket Streams"
    return ApiError(
        -1003,
        f"{text} for live updates to avoid polling the API.",
        status=429,
        retry_after=wait,
    )


def unknown_outcome(*, accepted: bool) -> ApiError:
    """Both words mean the same to a client: it cannot know."""
    if accepted:
        return ApiError(
            -1007,
            "Timeout waiting for response from backend server. "
            "Send status unknown; execution status unknown.",
            status=504,
        )
    return ApiError(
        -1006,
        "An unexpected response was received from the message bus. Execution status unknown.",
        status=500,
    )


def of(refused: Refused) -> ApiError:
    """The exchange's refusal of a new order."""
    code, message = _WORDS[refused.reason]
    return ApiError(code, message)


_WORDS = {
    Reason.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    Reason.BAD_ORDER: (-1014, "Unsupported order combination."),
    Reason.PRICE_STEP: (-1013, "Filter failure: PRICE_FILTER"),
    Reason.PRICE_RANGE: (-1013, "Filter failure: PRICE_FILTER"),
    Reason.PRICE_BAND: (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    Reason.LOT_STEP: (-1013, "Filter failure: LOT_SIZE"),
    Reason.QUANTITY_RANGE: (-1013, "Filter failure: LOT_SIZE"),
    Reason.NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    Reason.MAX_OPEN_ORDERS: (-1013, "Filter failure: MAX_NUM_ORDERS"),
    Reason.DUPLICATE: (-2010, "Duplicate order sent."),
    Reason.INSUFFICIENT: (-2010, "Account has insufficient balance for requested action."),
    Reason.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Reason.HALTED: (-1013, "Market is closed."),
    Reason.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    Reason.CLOSED_ORDER: (-2011, "Unknown order sent."),
}
