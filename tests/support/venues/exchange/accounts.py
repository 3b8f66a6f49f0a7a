"""Who owns how much of what, and how much of it open orders have locked."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from tests.support.venues.exchange.domain import ZERO, Balance, Reason, Refused


class Accounts:
    """A balance never becomes negative: what would make it so raises."""

    def __init__(self) -> None:
        self._balances: dict[str, dict[str, Balance]] = defaultdict(dict)
        self._touched: set[tuple[str, str]] = set()

    def of(self, account: str) -> dict[str, Balance]:
        return dict(self._balances.get(account, {}))

    def free(self, account: str, asset: str) -> Decimal:
        return self._get(account, asset).free

    def credit(self, account: str, asset: str, quantity: Decimal) -> None:
        """Add to (or, negative, take from) what is free. Raises :class:`Refused`."""
        old = self._get(account, asset)
        if old.free + quantity < 0:
            raise Refused(Reason.INSUFFICIENT, f"{account} has {old.free} {asset} free")
        self._set(account, asset, Balance(old.free + quantity, old.locked))

    def lock(self, account: str, asset: str, quantity: Decimal) -> None:
        """Move from free to locked (negative: back). Raises :class:`Refused`."""
        old = self._get(account, asset)
        if old.free < quantity or old.locked + quantity < 0:
            raise Refused(Reason.INSUFFICIENT, f"{account} has {old.free} {asset} free")
        self._set(account, asset, Balance(old.free - quantity, old.locked + quantity))

    def take_touched(self) -> dict[str, dict[str, Balance]]:
        """The balances that changed since this was last asked, by account and asset."""
        changed: dict[str, dict[str, Balance]] = {}
        for account, asset in sorted(self._touched):
            changed.setdefault(account, {})[asset] = self._get(account, asset)
        self._touched.clear()
        return changed

    def _get(self, account: str, asset: str) -> Balance:
        return self._balances[account].get(asset, _EMPTY)

    def _set(self, account: str, asset: str, balance: Balance) -> None:
        self._balances[account][asset] = balance
        self._touched.add((account, asset))


_EMPTY = Balance(ZERO, ZERO)
