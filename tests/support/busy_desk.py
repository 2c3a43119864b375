"""A desk on which something of everything has happened: the shipped demo's world, with orders of every product.

What customers say of themselves goes through `says`, so that the same things can be said by somebody who wishes ill.
"""

import tomllib
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx

from otcdesk.domain.compact_ids import print_compact_id
from otcdesk.domain.world import account_id, tenant_id
from otcdesk.domain.world_brokerage import party_id
from otcdesk.domain.world_payouts import channel_id
from otcdesk.domain.world_resales import compact_ref
from tests.support.server import CSRF, DeskServer, World

IBAN = "DE89370400440532013000"

#: What customers and the desk's own files say of people and things in the demo's world.
NAMES = (
    "Acme Imports",
    "Main EUR",
    "Ops wallet",
    "Northbank",
    "Paylane",
    "Maria",
    "Lindenweg 1",
    "Harbour Estates",
    "Harbour House",
    "Vendor Dollar",
    "Bitcoin",
    "General terms",
    "Lena",
    "Noah",
)

#: Of these a name has no room for what anybody wishes, or is checked for what it is.
_PLAIN = frozenset({"Bitcoin", "General terms"})


class Says(Protocol):
    """How somebody says a text, in so many letters at most."""

    def __call__(self, text: str, longest: int = 100) -> str:
        """Return what is said."""
        ...


def itself(text: str, longest: int = 100) -> str:
    """Say a text as it is."""
    return text[:longest]


def world_file(says: Says = itself) -> str:
    """Return the text of the demo's world, with its names as they are said."""
    text = (files("otcdesk") / "worlds" / "demo.toml").read_text(encoding="utf-8")
    for name in NAMES:
        said = says(name) if name not in _PLAIN else name
        assert "'" not in said
        assert f'"{name}"' in text, name
        # Within a document of JSON the quotes stay those of JSON; elsewhere they are TOML's.
        text = text.replace(f' = "{name}"', f" = '{said}'")
        text = text.replace(f': "{name}"', f': "{said.translate(_IN_JSON)}"')
    tomllib.loads(text)
    return text


_IN_JSON = str.maketrans({'"': '\\"'})


class BusyDesk(World):
    """The demo's world on a server, and those who use it."""

    def __init__(self, server: DeskServer, says: Says = itself, **asked: Any) -> None:
        super().__init__(server, world=world_file(says), **asked)
        self.says = says
        self.orders: dict[str, list[str]] = {}
        made = {one["clientSecret"] for one in self.told["clients"].values()}
        made |= {part for one in self.told["staff"].values() for part in (one["password"], one["totpSecret"])}
        server.secrets |= {*self.told["requestKeys"].values(), *made}

    def live(self) -> None:
        """Let everything happen that can be seen in the console."""
        self.listen()
        self.convert()
        self.broker()
        self.pay_out()
        self.check_out()
        self.resell()
        self.run_books()
        for _ in range(3):  # one step leads to the next
            self.run_workers()

    # -- the parts ---------------------------------------------------------------------------------------------------

    def convert(self) -> None:
        """Quote buys and sells, confirm most; one is approved, one rejected, a large one waits for two people."""
        amounts = ("2500.00", "800.00", "120.50", "40000.00", "99.99", "15.00")
        bought = [self._quoted({"sourceAmountEur": amount}) for amount in amounts]
        sold = [self._quoted({"sourceAmountUsdc": amount}, side="sell") for amount in ("1800", "250.5")]
        for order in bought[:5]:
            self._confirmed(order)
        for order in sold:
            self._confirmed(order, "sell")
        self.operate("POST", f"/otc-exchanges/{bought[0]}/approve", {"rate": "1.0838"})
        self.operate("POST", f"/otc-exchanges/{sold[0]}/approve", {})
        self.operate("POST", f"/otc-exchanges/{bought[1]}/reject", {"reason": self.says("papers missing")})
        self.orders["conversion"] = [*bought, *sold]

    def broker(self) -> None:
        """Sell bitcoin to a partner's party, once under an id of the partner's own."""
        client = self.told["clients"]["northbank"]
        body = {
            "grant_type": "client_credentials",
            "client_id": client["clientId"],
            "client_secret": client["clientSecret"],
        }
        token = self._good(self.server.http.post("/offers/v1/oauth/token", json=body)).json()["access_token"]
        sent = {"Authorization": f"Bearer {token}", "bp-user-id": str(party_id("northbank", "ada"))}
        asked = {"type": "buy", "fiat_id": 1, "asset_id": 1, "amount": "100.00", "amount_defined_for": "fiat"}
        ids = self.orders["brokerage"] = []
        for number in range(3):
            offered = self._good(self.server.http.post("/offers/v1/offers", json=asked, headers=sent))
            ids.append(offered.json()["data"]["id"])
            named = {"external_transaction_id": self.says(f"bank-{number}")}
            if number < 2:
                self._good(self.server.http.patch(f"/offers/v2/offers/{ids[-1]}/accept", params=named, headers=sent))

    def pay_out(self) -> None:
        """Sell tokens for money to people's accounts, through a provider and in a file for the bank."""
        form = {"BankDetails": {"AccountType": "Checking", "AccountNumber": IBAN}}
        paid = [self._paid(str(channel_id("de-sepa")), form, f"{10 * number}.00") for number in (2, 3, 10)]
        holder = {"AccountHolder": self.says("Maria Example", 70), "BankDetails": {"AccountNumber": IBAN}}
        filed = [self._paid(str(channel_id("sepa-file")), holder, f"{number}.00") for number in (5, 7)]
        held = self._paid(str(channel_id("de-sepa")), form, "31.00")
        self.operate("POST", f"/payouts/{held}/hold", {"reason": self.says("looked into")}, ok=False)
        self.orders["payout"] = [*paid, *filed, held]

    def check_out(self) -> None:
        """Open a checkout and leave it open."""
        item = {"Description": self.says("Refund of order 7", 140), "Quantity": "1"}
        body = {
            "ReturnURL": "https://shop.example/back",
            "CustomerID": "maria",
            "LineItems": [{**item, "UnitAmount": "50.00", "TotalAmount": "50.00"}],
            "ExternalID": self.says("cart-7", 36),
            "CryptoCurrency": "USDC_TEST",
            "FiatCurrency": "EUR",
            "FiatAmount": "50.00",
            "CryptoAuthorizedAmount": "60",
            "Nonce": uuid4().hex,
        }
        answer = self._good(self._ramp("/v1/checkout/payout/fiat", body)).json()
        self.orders["checkout"] = [answer["CheckoutSession"]["CheckoutSessionID"]]

    def resell(self) -> None:
        """Let somebody list tokens for resale, and the issuer take some."""
        client = self.told["clients"]["harbour"]
        keys = {"api_key": client["clientId"], "secret_key": client["clientSecret"]}
        token = self._good(self.server.http.post("/deals/v2/auth/authenticate", json=keys)).json()["access_token"]
        sent = {"Authorization": f"Bearer {token}"}
        lena, house, vusd = (
            print_compact_id(compact_ref(kind, "harbour", ref, None))
            for kind, ref in (("holder", "lena"), ("instrument", "house"), ("currency", "vusd"))
        )
        path = f"/deals/v2/users/otcs/users/{lena}/tokens/{house}/sell"
        for quantity in (7, 3):
            body = {"quantity": quantity, "price_id": vusd, "price_amount": 1}
            self._good(self.server.http.post(path, json=body, headers=sent))
        self.run_workers()

    def run_books(self) -> None:
        """Book by hand, with a reason and a reference."""
        for kind, amount in (("deposits", "1250.00"), ("withdrawals", "75.00")):
            body = {"accountId": str(account_id("acme", "main")), "amount": amount}
            said = {"reason": self.says("wire"), "reference": self.says(f"bank-{uuid4().hex[:6]}")}
            self.operate("POST", f"/{kind}", {**body, **said})

    def listen(self) -> None:
        """Make a webhook that nobody answers."""
        hook = {
            "tenantId": str(tenant_id("acme")),
            "url": f"http://127.0.0.1:9/hook?{urlencode({'q': self.says('hook')})}",
            "description": self.says("Orders to our books"),
            "eventTypes": ["conversion.completed", "conversion.rejected"],
        }
        self.operate("POST", "/webhooks", hook)

    # -- how it is asked -----------------------------------------------------------------------------------------------

    def operate(self, method: str, path: str, body: Any = None, *, ok: bool = True) -> httpx.Response:
        """Call a path of the operator's dialect."""
        answer = self.operator(method, f"/operator{path}", body)
        assert answer.is_success or not ok, (path, answer.status_code, answer.text)
        return answer

    def _acme(self, **more: str) -> dict[str, str]:
        return {"x-api-key": self.told["apiKeys"]["acme"], "X-CSRF-Token": CSRF, **more}

    def _quoted(self, amount: dict[str, str], side: str | None = None) -> str:
        cash, wallet = str(account_id("acme", "main")), str(account_id("acme", "ops"))
        buys = {"sourceFrAccountId": cash, "destinationUtilaWalletId": wallet}
        sells = {"side": "sell", "sourceUtilaWalletId": wallet, "destinationFrAccountId": cash}
        body = {**(buys if side is None else sells), **amount}
        answer = self.server.http.post("/exchanges/otc-exchanges/quote", json=body, headers=self._acme())
        quote: str = self._good(answer).json()["data"]["quoteId"]
        return quote

    def _confirmed(self, order: str, side: str | None = None) -> None:
        body = {"quoteId": order} if side is None else {"quoteId": order, "side": side}
        sent = self._acme(**{"Idempotency-Key": str(uuid4())})
        self._good(self.server.http.post("/exchanges/otc-exchanges", json=body, headers=sent))

    def _ramp(self, path: str, body: Any) -> httpx.Response:
        sent = {"X-Api-Key": self.told["requestKeys"]["paylane"]}
        return self.server.http.post(f"/ramp{path}", json=body, headers=sent)

    def _paid(self, channel: str, form: Any, amount: str) -> str:
        asked = {"ChannelID": channel, "CryptoCurrency": "USDC_TEST", "FiatAmount": amount, "CustomerID": "maria"}
        session = self._good(self._ramp("/v1/transactions/sell/prepare", {**asked, "Form": form})).json()
        body = {
            "CryptoCurrency": "USDC_TEST",
            "FiatAmount": amount,
            "CryptoAuthorizedAmount": "400",
            "FormSessionID": session["FormSessionID"],
            "ExternalID": self.says(f"inv-{amount}", 36),
            "Nonce": uuid4().hex,
        }
        order: str = self._good(self._ramp("/v1/transactions/sell", body)).json()["Transaction"]["ID"]
        return str(UUID(order))

    @staticmethod
    def _good(answer: httpx.Response) -> httpx.Response:
        assert answer.is_success, (answer.request.url, answer.status_code, answer.text)
        return answer
