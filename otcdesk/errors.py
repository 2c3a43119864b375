"""The catalogue of refusals.

A refusal is an expected answer: somebody asked for what may not be. It has a code, a sentence for people and the facts
of the case; it knows nothing of HTTP. Each dialect owns a table that says, for every code its commands may raise, which
status and word its clients know it by. Bugs are not refusals: they raise anything else and end as `CRASHED`.
"""

from enum import Enum
from typing import Any


class Code(Enum):
    """Why something is refused: the sentence, and whether the same request may succeed later unchanged."""

    def __init__(self, sentence: str, retry_may_help: bool = False) -> None:  # noqa: FBT001, FBT002  (enum members are positional)
        self.sentence = sentence
        self.retry_may_help = retry_may_help

    # The caller.
    UNAUTHENTICATED = ("No valid credential was sent.",)
    CREDENTIAL_EXPIRED = ("This credential has expired.",)
    SOURCE_ADDRESS_DENIED = ("This credential may not be used from this address.",)
    SCOPE_MISSING = ("This credential lacks the scope that the route needs.",)
    DUTY_MISSING = ("Your roles do not carry this.",)
    TENANT_FROZEN = ("This account is frozen: nothing new can be started.", True)
    CSRF_TOKEN_INVALID = ("A write needs the X-CSRF-Token header: 64 hexadecimal characters.",)

    # The request.
    ROUTE_UNKNOWN = ("There is nothing at this path.",)
    METHOD_NOT_ALLOWED = ("This path does not take this method.",)
    BODY_TOO_LARGE = ("The body is larger than the server accepts.",)
    CONTENT_TYPE_UNSUPPORTED = ("The body must be application/json.",)
    REQUEST_INVALID = ("The request is not valid.",)
    KEY_REQUIRED = ("This request needs an Idempotency-Key header.",)
    KEY_INVALID = ("The Idempotency-Key must be a UUID of version 4.",)
    KEY_IN_FLIGHT = ("The first request with this key is still running.", True)
    KEY_REUSED = ("This key was used before with different content.",)

    # The desk's own condition.
    RATE_LIMITED = ("Too many requests; slow down.", True)
    OVERLOADED = ("The desk is too busy to take this now.", True)
    UNAVAILABLE = ("The desk cannot reach its books now.", True)
    STOPPING = ("The desk is stopping.", True)
    CRASHED = ("Something went wrong on our side.",)

    # Accounts of an order, in the order in which they are checked.
    SOURCE_CASH_NOT_FOUND = ("The source account was not found.",)
    SOURCE_CASH_WRONG_ASSET = ("The source account holds another currency.",)
    SOURCE_CASH_INACTIVE = ("The source account is not active.",)
    DESTINATION_CUSTODY_NOT_FOUND = ("The destination wallet was not found.",)
    DESTINATION_CUSTODY_NO_ADDRESS = ("The destination wallet has no address for this asset.",)
    SOURCE_CUSTODY_NOT_FOUND = ("The source wallet was not found.",)
    SOURCE_CUSTODY_NO_ADDRESS = ("The source wallet has no address for this asset.",)
    SOURCE_CUSTODY_INSUFFICIENT = ("The source wallet does not cover the amount.",)
    DESTINATION_CASH_NOT_FOUND = ("The destination account was not found.",)
    DESTINATION_CASH_WRONG_ASSET = ("The destination account holds another currency.",)
    DESTINATION_CASH_INACTIVE = ("The destination account is not active.",)
    SOURCE_CASH_INSUFFICIENT = ("The source account does not cover the amount.",)
    SOURCE_BALANCE_UNKNOWN = ("The source wallet's live balance cannot be read now.", True)
    PRICE_UNAVAILABLE = ("No quote can be given at this moment.", True)
    AMOUNT_TOO_SMALL = ("The amount converts to nothing at this rate.",)
    AMOUNT_TOO_LARGE = ("The amount converts to more than the desk can count.",)

    # The life of an order.
    ORDER_NOT_FOUND = ("There is no such order.",)
    SIDE_MISMATCH = ("The side is not the side of the quote.",)
    NOT_CONFIRMABLE = ("This order can no longer be confirmed.",)
    QUOTE_EXPIRED = ("This quote has expired.",)
    NOT_CANCELLABLE = ("This order can no longer be cancelled.",)
    INVALID_STATE = ("The order is not in a state that allows this.",)
    TREASURY_INSUFFICIENT = ("The treasury does not cover this order.", True)
    RAIL_UNAVAILABLE = ("The transfer provider did not take the transfer; the order is unchanged.", True)

    # What the desk allows its tenants and their parties.
    TENANT_NOT_FOUND = ("There is no such tenant.",)
    LIMIT_EXCEEDED = ("This is more than the limit allows.",)
    LIMIT_SUBJECT_NOT_FOUND = ("There is neither a tenant nor a party with this id.",)
    SPREAD_NOT_FOUND = ("This tenant does not convert this pair.",)
    SPREAD_EXCESSIVE = ("A spread is at least 0 and less than 10000 ten-thousandths.",)
    EFFECTIVE_IN_PAST = ("What is decided ahead must come into force later than now.",)

    # Customers of tenants, and what is traded for them.
    PARTY_NOT_FOUND = ("There is no such party.",)
    PARTY_UNVERIFIED = ("The party is not verified.",)
    PARTY_INACTIVE = ("The party is not active.",)
    PARTY_NAME_TAKEN = ("There is a party with this external id already.",)
    LEVEL_NOT_FOUND = ("There is no such account level.",)
    AGREEMENT_NOT_FOUND = ("There is no such agreement.",)
    AGREEMENTS_NOT_ACCEPTED = ("The party has not accepted the latest mandatory agreements.",)
    ASSET_NOT_FOUND = ("There is no such asset.",)
    FIAT_NOT_FOUND = ("There is no such fiat.",)
    TRADING_DISABLED = ("This asset cannot be traded in this direction now.",)
    AMOUNT_TOO_FINE = ("The amount has more decimals than what it measures.",)
    QUOTE_NOT_COVERED = ("The balance does not cover this quote.",)

    # The life of a firm quote, in the order in which an acceptance is checked.
    QUOTE_NOT_FOUND = ("There is no such quote.",)
    QUOTE_GONE = ("There is no such quote, or it is another party's.",)
    EXTERNAL_ID_TAKEN = ("This external id was used for another quote.",)
    EXTERNAL_ID_DIFFERS = ("This quote was accepted with another external id.",)
    QUOTE_FAILED = ("This quote was accepted before and failed.",)
    QUOTE_ACCEPTED = ("This quote was accepted already.",)
    QUOTE_SUPERSEDED = ("This party has a newer quote.",)
    EXECUTION_FAILED = ("The trade could not be carried out.",)
    TRADE_NOT_FOUND = ("There is no such trade.",)
    NOTICE_DIFFERS = ("This transfer was announced before with other content.",)

    # Payouts, in the order in which they are checked.
    CHANNEL_NOT_FOUND = ("There is no such channel.",)
    PAYMENT_METHOD_NOT_FOUND = ("There is no such payment method.",)
    PAYOUT_NOT_PREPARED = ("No payout was prepared under this id, or it has expired.",)
    PREPARED_ASSET_DIFFERS = ("The payout was prepared for another asset.",)
    PREPARED_AMOUNT_DIFFERS = ("The payout was prepared for another amount.",)
    PREPARED_PAYOUT_USED = ("This prepared payout was sold already.",)
    CHANNEL_CLOSED = ("This channel cannot be used now.",)
    CEILING_EXCEEDED = ("The payout costs more than the ceiling.",)
    PAYOUT_NOT_COVERED = ("The balance does not cover this payout.",)
    RETURN_EXCEEDS_PAYOUT = ("More comes back than was paid out.",)

    # Checkouts.
    CHECKOUT_NOT_FOUND = ("There is no such checkout.",)
    CHECKOUT_OVER = ("This checkout is completed, was turned down, or has expired.",)
    CHECKOUT_PAGE_STALE = ("This page is not the latest of its checkout.",)

    # Deposits, and the rules that they set off.
    DEPOSIT_PLACE_UNKNOWN = ("There is no such deposit address, nor such bank details.",)
    DEPOSIT_PLACE_TAKEN = ("This deposit address, or these bank details, are somebody else's.",)
    DEPOSIT_ASSET_WRONG = ("This cannot be deposited there.",)
    DEPOSIT_PLACES_CLOSED = ("No places where money can arrive are given here.",)
    DEPOSIT_DIFFERS = ("This deposit was told before with other content.",)
    DEPOSIT_SPENT = ("This deposit was spent on a purchase already.",)
    RULE_EXCESSIVE = ("A rule has no conditions or actions, or more than a rule may have.",)
    RULE_EXPIRED = ("The rule would have run out already.",)
    RULE_NOT_FOUND = ("There is no such rule.",)
    RULES_EXHAUSTED = ("There are as many rules as there may be.",)

    # Files for banks and their statements.
    BANK_ACCOUNT_NOT_FOUND = ("The desk has no such bank account.",)
    NOTHING_TO_FILE = ("No payout waits to be filed.",)
    PAYOUT_FILE_NOT_FOUND = ("There is no such file.",)
    STATEMENT_INVALID = ("The statement cannot be read.",)
    STATEMENT_LINE_NOT_FOUND = ("There is no such line.",)
    STATEMENT_LINE_DONE = ("This line is matched or put aside already.",)
    LINE_DOES_NOT_FIT = ("The line does not fit this payout.",)

    # Resale, in the order in which it is checked.
    BRANCH_NOT_FOUND = ("There is no such branch.",)
    INSTRUMENT_NOT_FOUND = ("There is no such instrument.",)
    NOT_PERMITTED = ("The caller may not do this, or not there.",)
    RESALE_CLOSED = ("This instrument cannot be listed there now.",)
    NOT_ON_SALE = ("This instrument is not on sale.",)
    CURRENCY_NOT_FOUND = ("There is no such currency, or it is not deployed.",)
    RESALE_NOT_COVERED = ("The party has not enough of the instrument.",)
    SUPPLY_INSUFFICIENT = ("Not enough of the instrument is unsold.",)
    PARTIES_DO_NOT_TRADE = ("The branch does not let parties trade with each other over the counter.",)
    RESALE_NOT_OWN = ("This was listed by another party.",)
    OWN_RESALE = ("Nobody buys what they have listed themselves.",)
    NOT_TAKEABLE = ("This can no longer be taken.",)
    QUANTITY_UNAVAILABLE = ("Less than this is left.",)
    BRANCH_NOT_COVERED = ("The branch has not enough of the currency.", True)
    BUYER_NOT_COVERED = ("The buyer has not enough of the currency.",)
    BID_NOT_FOUND = ("There is no such bid.",)
    BID_OVER = ("The bid was answered, taken back or has run out.",)
    JOB_NOT_FOUND = ("There is no such job.",)
    JOB_UNDER_WAY = ("The chain has taken this job, or may have: only it can say how that ends.", True)
    RULE_BOUNDS_CROSSED = ("Nothing lies between the bounds of this rule.",)
    ASSET_TAKEN = ("There is an asset with this symbol already.",)
    FEE_EXCESSIVE = ("A fee is at least 0 and less than 50 percent.",)

    # Access tokens.
    CLIENT_INVALID = ("The client's id and secret are not valid.",)
    GRANT_INVALID = ("The request for a token is not valid.",)
    REFRESH_TOKEN_UNKNOWN = ("This refresh token was never issued.",)
    REFRESH_TOKEN_DEAD = ("This refresh token has been used, was revoked, or has run out.",)
    MAINTENANCE = ("The desk is closed for maintenance.", True)

    # Accounts, balances and the operator's bookings.
    ACCOUNT_NOT_FOUND = ("There is no such account.",)
    CUSTODY_NOT_FOUND = ("There is no such wallet.",)
    BALANCE_UNAVAILABLE = ("The live balance cannot be read now.", True)
    BALANCE_INSUFFICIENT = ("The account does not cover this booking.",)
    PRICE_NOT_FOUND = ("The desk does not price this pair.",)
    OPENING_BALANCE_CHANGED = ("A world file may not change an opening balance that is already booked.",)
    DECLARATION_INVALID = ("The world file does not fit what is already declared.",)

    # Guards, and what waits for a second person, in the order in which it is checked.
    RATE_DEVIATES = ("The rate is further from the market than the desk allows.", True)
    PROPOSAL_OPEN = ("A proposal for this waits for a second person already.", True)
    PROPOSAL_NOT_FOUND = ("There is no such proposal.",)
    PROPOSAL_OVER = ("This proposal was carried out or withdrawn, or its time has passed.",)
    SAME_PERSON = ("Whoever has proposed this cannot be its second person.",)
    PROPOSAL_STALE = ("What this proposal is about has changed since; propose it anew.",)

    # Webhooks.
    SUBSCRIPTION_NOT_FOUND = ("There is no such webhook.",)
    SUBSCRIPTION_URL_INVALID = ("A webhook's URL must be an https:// address without credentials or fragment.",)
    SUBSCRIPTION_URL_FORBIDDEN = ("A webhook's URL must lead to a public address.",)
    SUBSCRIPTION_URL_UNRESOLVED = ("The host of the webhook's URL cannot be found now.", True)
    SUBSCRIPTION_URL_TAKEN = ("There is a webhook for this URL already.",)
    SUBSCRIPTIONS_EXHAUSTED = ("There are as many webhooks as there may be; delete one first.",)
    SUBSCRIPTION_INACTIVE = ("This webhook is switched off.",)
    EVENT_TYPE_UNKNOWN = ("There is no such event type.",)
    DELIVERY_NOT_FOUND = ("There is no such delivery.",)
    DELIVERY_UNDER_WAY = ("This delivery is being attempted right now.", True)

    # The people who run the desk.
    SIGN_IN_FAILED = ("E-mail address, password and code do not let you in. If you work at several desks, say which.",)
    SIGN_IN_LOCKED = ("Too many attempts to sign in have failed; wait.", True)
    OPERATOR_NOT_FOUND = ("There is no such operator.",)
    OPERATOR_TAKEN = ("There is an operator with this e-mail address already.",)
    OPERATOR_IS_SELF = ("Nobody keeps their own roles and standing: somebody else who keeps the people has to.",)
    PASSWORD_WEAK = ("A password has at least 12 and at most 256 characters.",)

    # World files.
    WORLD_NOT_FOUND = ("There is no such world.",)
    WORLDS_EXHAUSTED = ("No more worlds may be made; delete one first.", True)


class Refusal(Exception):
    """An expected no: a code and the facts of the case. `detail` replaces the code's sentence for people."""

    def __init__(self, code: Code, detail: str | None = None, **facts: Any) -> None:
        super().__init__(code.name)
        self.code = code
        self.detail = detail or code.sentence
        self.facts = facts
