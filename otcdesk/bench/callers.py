"""Who makes a load, and what a pair of its requests is: the bytes that are sent, and what is a right answer to them."""

import hashlib
import re
import time
from typing import Protocol

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey


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


class RampCaller(msgspec.Struct, tag="ramp"):
    """A tenant of the ramp dialect that prepares and sells: its key, its private key if it signs, and a channel."""

    prefix: str
    api_key: str
    private_key: str | None
    channel_id: str

    def script(self, host: str) -> Script:
        """Return what it sends."""
        return _PrepareAndSell(self, host)


class DealsCaller(msgspec.Struct, tag="deals"):
    """A client of the deals dialect whose two users sell: its access token, who they are, and what is sold for what."""

    prefix: str
    token: str
    user_ids: tuple[str, str]
    token_id: str
    price_id: str

    def script(self, host: str) -> Script:
        """Return what it sends."""
        return _SellTwice(self, host)


Caller = ExchangesCaller | OffersCaller | RampCaller | DealsCaller

_ID_LENGTH = 36

#: The longest that a signature may live (ramp contract, section 2): that of the first request is made once.
_SIGNATURE_SECONDS = 900


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


class _PrepareAndSell:
    def __init__(self, caller: RampCaller, host: str) -> None:
        self._prefix = caller.prefix
        self._common = f"host: {host}\r\nx-api-key: {caller.api_key}\r\ncontent-type: application/json\r\n"
        self._key = ECKey.import_key(caller.private_key) if caller.private_key else None
        form = '{"BankDetails":{"AccountType":"Checking","AccountNumber":"DE89370400440532013000"}}'
        self.first = self._request(
            "/v1/transactions/sell/prepare",
            f'{{"ChannelID":"{caller.channel_id}","CryptoCurrency":"USDC_TEST","FiatAmount":"100.00",'
            f'"CustomerID":"cust-001","Form":{form}}}',
        )
        self._nonce = b""

    def opened(self, head: bytes, body: bytes) -> bytes | None:
        if b" 200 " not in head[:16] or b'"CryptoAmountEstimate":"110.326087"' not in body:
            return None
        return _id_after(body, b'"FormSessionID":"')

    def second(self, order_id: bytes, unique: bytes) -> bytes:
        self._nonce = unique
        return self._request(
            "/v1/transactions/sell",
            f'{{"CryptoCurrency":"USDC_TEST","FiatAmount":"100.00","CryptoAuthorizedAmount":"111.429348",'
            f'"FormSessionID":"{order_id.decode()}","Nonce":"{unique.decode()}","ExternalID":"{unique.decode()}"}}',
        )

    def closed(self, head: bytes, body: bytes, order_id: bytes) -> bool:
        del order_id  # the answer names the transaction
        return b" 202 " in head[:16] and self._nonce in body and b'"Status":"Pending"' in body

    def _request(self, path: str, body: str) -> bytes:
        signed = f"api-signature: {self._signature(path, body)}\r\n" if self._key else ""
        return (
            f"POST {self._prefix}{path} HTTP/1.1\r\n{self._common}{signed}content-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _signature(self, path: str, body: str) -> str:
        assert self._key is not None
        now = int(time.time())
        claims = {
            "aud": "https://api.noah.com",
            "iat": now,
            "exp": now + _SIGNATURE_SECONDS,
            "method": "POST",
            "path": path,
            "bodyHash": hashlib.sha256(body.encode()).hexdigest(),
        }
        return jwt.encode({"alg": "ES384"}, claims, self._key, algorithms=["ES384"])


class _SellTwice:
    def __init__(self, caller: DealsCaller, host: str) -> None:
        body = f'{{"quantity":1,"price_id":"{caller.price_id}","price_amount":2.5}}'
        self.first, self._second = (
            (
                f"POST {caller.prefix}/v2/users/otcs/users/{user_id}/tokens/{caller.token_id}/sell HTTP/1.1\r\n"
                f"host: {host}\r\nauthorization: Bearer {caller.token}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}"
            ).encode()
            for user_id in caller.user_ids
        )

    def opened(self, head: bytes, body: bytes) -> bytes | None:
        return body if b" 200 " in head[:16] and _STARTED.fullmatch(body) else None

    def second(self, order_id: bytes, unique: bytes) -> bytes:
        del order_id, unique  # a sell like the first one, of the other user
        return self._second

    def closed(self, head: bytes, body: bytes, order_id: bytes) -> bool:
        return b" 200 " in head[:16] and _STARTED.fullmatch(body) is not None and body != order_id


#: What a sell is answered with, and nothing else (deals contract, 3.1).
_STARTED = re.compile(rb'\{"transaction_id":"[0-9a-f]{24}"\}')


def _id_after(body: bytes, mark: bytes) -> bytes:
    start = body.find(mark) + len(mark)
    return body[start : start + _ID_LENGTH]
