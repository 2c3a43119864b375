"""What the demo tells those who have started it: stories to follow in a browser and to paste into a terminal.

Somebody who has read nothing else begins here, so each story is whole: who one is, what to do, and what is to be seen.
"""

import shlex
import sys
from pathlib import Path
from typing import Any, Final

#: The exchanges dialect asks for one of this form with each write, and takes any.
_CSRF: Final = "0" * 64


def _program() -> str:
    """Return how this program is called from another terminal, where it may not be on the path."""
    script = Path(sys.executable).with_name("otcdesk")
    return shlex.quote(str(script)) if script.exists() else f"{shlex.quote(sys.executable)} -m otcdesk"


def _access(person: dict[str, Any], home: Path) -> str:
    """Return who signs in, and with what; the last is a command that prints it."""
    return f"""{person["email"]}
  password  {person["password"]}
  code      {_program()} operators code {person["email"]} --home {shlex.quote(str(home))}"""


def _asked(exchanges: dict[str, str], amount: str) -> str:
    """Return the command by which the customer asks what an amount of EUR brings."""
    return f"""curl -s {exchanges["base_url"]}/otc-exchanges/quote \\
  -H 'x-api-key: {exchanges["api_key"]}' -H 'X-CSRF-Token: {_CSRF}' -H 'Content-Type: application/json' \\
  -d '{{"sourceFrAccountId":"{exchanges["account_id"]}","destinationUtilaWalletId":"{exchanges["wallet_id"]}",\
"sourceAmountEur":"{amount}"}}'"""


def _confirmed(exchanges: dict[str, str], variable: str) -> str:
    """Return the command by which the customer confirms the quote whose id a variable has."""
    return f"""curl -s {exchanges["base_url"]}/otc-exchanges \\
  -H 'x-api-key: {exchanges["api_key"]}' -H 'X-CSRF-Token: {_CSRF}' -H 'Content-Type: application/json' \\
  -H "Idempotency-Key: $(python3 -c 'import uuid; print(uuid.uuid4())')" \\
  -d "{{\\"quoteId\\":\\"${variable}\\"}}"; echo"""


def story(told: dict[str, Any], home: Path) -> str:
    """Return the stories: what to do in a browser, and commands that work when pasted into another terminal."""
    exchanges, operator, offers, ramp, deals = (
        told[name] for name in ("exchanges", "operator", "offers", "ramp", "deals")
    )
    people = {one["name"]: one for one in told["console"]["users"]}
    return f"""
otcdesk is open at {told["base_url"]}. Credentials: {home / "demo.json"}. Stop it with Ctrl-C; data is kept.

The first story, in the browser: Acme converts 12500.00 EUR, and two people approve it.

Sign in at {told["console"]["base_url"]} as {_access(people["Ada"], home)}
In a private window sign in there as {_access(people["Ben"], home)}
A code is good once, for half a minute. The others, with other roles, are in demo.json.

Acme asks for a price and confirms it. Paste this into another terminal:

LARGE=$({_asked(exchanges, "12500.00")} \\
  | sed 's/.*"quoteId":"\\([^"]*\\)".*/\\1/')
{_confirmed(exchanges, "LARGE")}

Then, in the browser:
  It appears under Approvals in both windows, by itself.
  Ada opens it ("Decide"), types its amount, 12500.00, and approves. Nothing moves yet: it takes two.
  Ben opens it where it waits for a second person ("Look"), and approves as the second person.
  He is led to the order's page: what happened, the entries with balances, and the callbacks to Acme.

The other stories are told in the terminal: paste their blocks one after another.

The second story: Acme converts 2500.00 EUR, and one operator approves it by a request.

1. Acme asks what 2500.00 EUR bring in USDC (nothing moves; the quote lives 15 minutes):

QUOTE=$({_asked(exchanges, "2500.00")} \\
  | tee /dev/stderr | sed 's/.*"quoteId":"\\([^"]*\\)".*/\\1/'); echo

2. Acme confirms; its EUR go to the treasury, and the order waits for you:

{_confirmed(exchanges, "QUOTE")}

3. You, the operator, approve at a final rate; the USDC arrive in Acme's wallet:

curl -s {operator["base_url"]}/otc-exchanges/$QUOTE/approve \\
  -H 'Authorization: Bearer {operator["token"]}' -H 'Content-Type: application/json' -d '{{"rate":"1.0838"}}'; echo

The third story: Northbank sells a bitcoin's part to Ada, its user.

1. Northbank gets an access token, for ten minutes:

ACCESS=$(curl -s {offers["base_url"]}/v1/oauth/token -H 'Content-Type: application/json' \\
  -d '{{"grant_type":"client_credentials","client_id":"{offers["client_id"]}",\
"client_secret":"{offers["client_secret"]}"}}' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

2. It asks for an offer: how much bitcoin 100.00 EUR buy, for a quarter of an hour:

OFFER=$(curl -s {offers["base_url"]}/v1/offers -H "Authorization: Bearer $ACCESS" \\
  -H 'bp-user-id: {offers["user_id"]}' -H 'Content-Type: application/json' \\
  -d '{{"type":"buy","fiat_id":1,"asset_id":1,"amount":"100.00","amount_defined_for":"fiat"}}' \\
  | tee /dev/stderr | sed 's/.*"id":"\\([^"]*\\)","type".*/\\1/'); echo

3. It accepts, under an id of its own; the same again is answered the same and buys nothing more:

curl -s -X PATCH "{offers["base_url"]}/v2/offers/$OFFER/accept?external_transaction_id=bank-$OFFER" \\
  -H "Authorization: Bearer $ACCESS" -H 'bp-user-id: {offers["user_id"]}'; echo

The fourth story: Paylane sells USDC, and Maria's bank account gets 100.00 EUR.

1. Paylane prepares it: who is paid, through which channel, and what it would cost (nothing moves):

SESSION=$(curl -s {ramp["base_url"]}/transactions/sell/prepare \\
  -H 'X-Api-Key: {ramp["api_key"]}' -H 'Content-Type: application/json' \\
  -d '{{"ChannelID":"{ramp["channel_id"]}","CryptoCurrency":"USDC_TEST","FiatAmount":"100.00",\
"CustomerID":"{ramp["customer_id"]}","Form":{{"BankDetails":{{"AccountType":"Checking",\
"AccountNumber":"DE89370400440532013000"}}}}}}' \\
  | tee /dev/stderr | sed 's/.*"FormSessionID":"\\([^"]*\\)".*/\\1/'); echo

2. It sells, for at most 115 USDC; the same nonce again is told what has become of it:

SOLD=$(curl -s {ramp["base_url"]}/transactions/sell \\
  -H 'X-Api-Key: {ramp["api_key"]}' -H 'Content-Type: application/json' \\
  -d "{{\\"CryptoCurrency\\":\\"USDC_TEST\\",\\"FiatAmount\\":\\"100.00\\",\\"CryptoAuthorizedAmount\\":\\"115\\",\
\\"FormSessionID\\":\\"$SESSION\\",\\"Nonce\\":\\"$SESSION\\"}}" \\
  | tee /dev/stderr | sed 's/.*"Transaction":{{"ID":"\\([^"]*\\)".*/\\1/'); echo

3. Two seconds later it is settled:

sleep 3; curl -s {ramp["base_url"]}/transactions/$SOLD -H 'X-Api-Key: {ramp["api_key"]}'; echo

The fifth story: Lena resells tokens of Harbour House over the counter, and Harbour takes them.

1. Harbour gets an access token:

ACCESS=$(curl -s {deals["base_url"]}/auth/authenticate -H 'Content-Type: application/json' \\
  -d '{{"api_key":"{deals["api_key"]}","secret_key":"{deals["secret_key"]}"}}' \\
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

2. Lena offers 7 tokens at 1.00 VUSD each; the answer is a transaction to poll:

TRANSACTION=$(curl -s {deals["base_url"]}/users/otcs/users/{deals["user_id"]}/tokens/{deals["token_id"]}/sell \\
  -H "Authorization: Bearer $ACCESS" -H 'Content-Type: application/json' \\
  -d '{{"quantity":7,"price_id":"{deals["price_id"]}","price_amount":1}}' \\
  | tee /dev/stderr | sed 's/.*"transaction_id":"\\([^"]*\\)".*/\\1/'); echo
sleep 1
DEAL=$(curl -s {deals["base_url"]}/admin/tokens/{deals["token_id"]}/transactions/$TRANSACTION \\
  -H "Authorization: Bearer $ACCESS" | tee /dev/stderr | sed 's/.*"deal_id":\\([0-9]*\\).*/\\1/'); echo

3. Harbour accepts: tokens one way, money the other, 4 % aside, or nothing at all. What Lena has then:

curl -s -X POST {deals["base_url"]}/admin/otcs/nodes/{deals["node_id"]}/tokens/{deals["token_id"]}/deals/$DEAL/accept \\
  -H "Authorization: Bearer $ACCESS"
curl -s {deals["base_url"]}/users/users/{deals["user_id"]}/wallet/summary -H "Authorization: Bearer $ACCESS"; echo
"""
