"""Who makes a load, and what a pair of its requests is: the bytes that are sent, and what is a right answer to them."""

from typing import Protocol

import msgspec


class Script(Protocol):
    """One caller's pair of requests, as bytes."""

    first: bytes

    def opened(self, head: bytes, body: bytes) -> bytes | None:
        """Return the order's id in the answer to the first request, None if the answer is wrong."""
        ...

    def second(self, order_id: bytes, unique: bytes) -> bytes:
        """Return the second request; `unique` is told no other."""
        ...

    def closed(self, head: bytes, body: bytes, order_id: bytes) -> bool:
        """Tell whether the answer to the second request is right."""
        ...


class ExchangesCaller(msgspec.Struct, tag="exchanges"):
    """A tenant of the exchanges dialect that quotes and confirms: its key, and what it converts between."""

    prefix: str
    api_key: str
    account_id: str
    wallet_id: str

    def script(self, host: str) -> Script:
        """Return what it sends."""
        return _QuoteAndConfirm(self, host)


class OffersCaller(msgspec.Struct, tag="offers"):
    """A tenant of the offers dialect that creates offers for its user and accepts them: its access token."""

    prefix: str
    token: str
    user_id: str

    def script(self, host: str) -> Script:
        """Return what it sends."""
        return _CreateAndAccept(self, host)


Caller = ExchangesCaller | OffersCaller

_ID_LENGTH = 36


class _QuoteAndConfirm:
    def __init__(self, caller: ExchangesCaller, host: str) -> None:
        common = (
            f"host: {host}\r\nx-api-key: {caller.api_key}\r\nx-csrf-token: {'0' * 64}\r\n"
            "content-type: application/json\r\n"
        )
        quote = (
            f'{{"sourceFrAccountId":"{caller.account_id}","destinationUtilaWalletId":"{caller.wallet_id}",'
            '"sourceAmountEur":"25.00"}'
        )
        self.first = (
            f"POST {caller.prefix}/otc-exchanges/quote HTTP/1.1\r\n{common}content-length: {len(quote)}\r\n\r\n{quote}"
        ).encode()
        self._second = f"POST {caller.prefix}/otc-exchanges HTTP/1.1\r\n{common}content-length: 50\r\n".encode()

    def opened(self, head: bytes, body: bytes) -> bytes | None:
        if b" 200 " not in head[:16] or b'"destinationAmount":"27.10"' not in body:
            return None
        return _id_after(body, b'"quoteId":"')

    def second(self, order_id: bytes, unique: bytes) -> bytes:
        return self._second + b"idempotency-key: " + unique + b'\r\n\r\n{"quoteId":"' + order_id + b'"}'

    def closed(self, head: bytes, body: bytes, order_id: bytes) -> bool:
        return b" 201 " in head[:16] and order_id in body and b'"debit_pending"' in body


class _CreateAndAccept:
    def __init__(self, caller: OffersCaller, host: str) -> None:
        common = f"host: {host}\r\nauthorization: Bearer {caller.token}\r\nbp-user-id: {caller.user_id}\r\n"
        offer = '{"type":"buy","fiat_id":1,"asset_id":1,"amount":"100.00","amount_defined_for":"fiat"}'
        self.first = (
            f"POST {caller.prefix}/v1/offers HTTP/1.1\r\n{common}content-type: application/json\r\n"
            f"content-length: {len(offer)}\r\n\r\n{offer}"
        ).encode()
        self._path = f"PATCH {caller.prefix}/v2/offers/".encode()
        self._rest = f" HTTP/1.1\r\n{common}\r\n".encode()

    def opened(self, head: bytes, body: bytes) -> bytes | None:
        if b" 201 " not in head[:16] or b'"asset_amount":"0.00196078"' not in body:
            return None
        return _id_after(body, b'"id":"')

    def second(self, order_id: bytes, unique: bytes) -> bytes:
        return self._path + order_id + b"/accept?external_transaction_id=" + unique + self._rest

    def closed(self, head: bytes, body: bytes, order_id: bytes) -> bool:
        return b" 200 " in head[:16] and order_id in body and b'"spread":"1.96078000"' in body


def _id_after(body: bytes, mark: bytes) -> bytes:
    start = body.find(mark) + len(mark)
    return body[start : start + _ID_LENGTH]
