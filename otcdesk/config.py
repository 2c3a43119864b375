"""Every setting of the program, with its unit, default and bounds; the only reader of the environment.

A setting is an environment variable: `DESK_` and the field's name in capitals (`DESK_PORT`, `DESK_HOME`), except
`DATABASE_URL`. An unknown `DESK_` variable stops the program, because a misspelt setting is a setting not made.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

_DATABASE_URL = "DATABASE_URL"
_PREFIX = "DESK_"

#: Whole seconds separated by commas, at most a hundred of them, none longer than 999,999.
_SECONDS_LIST = r"^[0-9]{1,6}(,[0-9]{1,6}){0,99}$"


class SettingsError(Exception):
    """A setting is unknown or out of bounds; the message says which and what it may be."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one process."""

    home: Annotated[str, Meta(description="Folder of the embedded database, the secrets and demo.json.")] = "./.desk"
    database_url: Annotated[
        str, Meta(description="PostgreSQL 15 to 18 to use instead of the embedded server; variable DATABASE_URL.")
    ] = ""
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8080
    public_url: Annotated[str, Meta(description="Base URL that clients see, if it is not http://host:port.")] = ""
    sandbox: Annotated[bool, Meta(description="Offer /sandbox: isolated worlds, steerable clocks and faults.")] = False
    log_format: Annotated[str, Meta(pattern="^(json|console)$", description="`json` or `console`.")] = "json"
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$", description="Least level to log.")] = "info"
    trusted_proxies: Annotated[
        str, Meta(description="Addresses whose X-Forwarded-For and -Proto are believed, separated by commas.")
    ] = ""

    price_feed_file: Annotated[
        str, Meta(description="TOML file with a `[price_feed]` table; empty: prices come from world files only.")
    ] = ""
    price_feed_lane: Annotated[str, Meta(description="Name of the lane that the price feed serves.")] = "main"
    chains_file: Annotated[
        str, Meta(description="TOML file with the chains that are real; empty: all are simulated.")
    ] = ""

    exchanges_prefix: Annotated[
        str, Meta(pattern="^(/[A-Za-z0-9._-]+)+$", description="Path under which the exchanges dialect answers.")
    ] = "/exchanges"
    exchanges_host: Annotated[
        str, Meta(description="Host name of its own for the exchanges dialect, at the root; empty: the prefix.")
    ] = ""
    exchanges_csrf: Annotated[bool, Meta(description="Ask for X-CSRF-Token on writes, as the contract does.")] = True
    exchanges_requests_per_second: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Requests per second and tenant; 0: no limit.")
    ] = 0
    offers_prefix: Annotated[
        str, Meta(pattern="^(/[A-Za-z0-9._-]+)+$", description="Path under which the offers dialect answers.")
    ] = "/offers"
    offers_host: Annotated[
        str, Meta(description="Host name of its own for the offers dialect, at the root; empty: the prefix.")
    ] = ""
    offers_requests_per_second: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Requests per second and client of a partner; 0: no limit.")
    ] = 50
    offers_accept_wait_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="How long the acceptance of an offer waits for its trade, milliseconds.")
    ] = 10_000
    ramp_prefix: Annotated[
        str, Meta(pattern="^(/[A-Za-z0-9._-]+)+$", description="Path under which the ramp dialect answers.")
    ] = "/ramp"
    ramp_host: Annotated[
        str, Meta(description="Host name of its own for the ramp dialect, at the root; empty: the prefix.")
    ] = ""
    deals_prefix: Annotated[
        str, Meta(pattern="^(/[A-Za-z0-9._-]+)+$", description="Path under which the deals dialect answers.")
    ] = "/deals"
    deals_host: Annotated[
        str, Meta(description="Host name of its own for the deals dialect, at the root; empty: the prefix.")
    ] = ""
    deals_requests_per_second: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Requests per second and client of a supervisor; 0: no limit.")
    ] = 0
    deals_key_file: Annotated[
        str,
        Meta(
            description="File with the key that signs the deals dialect's tokens: text of at least 32 bytes, for its"
            " owner only; empty: one of the home's own."
        ),
    ] = ""
    deals_token_seconds: Annotated[
        int, Meta(ge=1, le=2_592_000, description="How long an access token of the deals dialect is good, seconds.")
    ] = 36_000
    deals_form_bytes_max: Annotated[
        int, Meta(ge=1_024, le=67_108_864, description="Largest form with files of the deals dialect, bytes.")
    ] = 8_388_608
    checkout_prefix: Annotated[
        str, Meta(pattern="^(/[A-Za-z0-9._-]+)+$", description="Path under which checkouts have their pages.")
    ] = "/checkout"
    checkout_seconds: Annotated[
        int, Meta(ge=60, le=2_592_000, description="How long a checkout can be completed, seconds.")
    ] = 3_600
    checkout_arrival_seconds: Annotated[
        int,
        Meta(
            ge=60, le=31_536_000, description="How long what was promised on a checkout's page is waited for, seconds."
        ),
    ] = 604_800
    ramp_requests_per_second: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Requests per second and tenant; 0: no limit.")
    ] = 0
    ramp_statuses: Annotated[
        str,
        Meta(
            pattern="^(documented|observed)$",
            description="Statuses of the ramp dialect: `documented` (400, 401, 500), or `observed` (also 403 and 404).",
        ),
    ] = "documented"
    ramp_tls_required: Annotated[
        bool,
        Meta(description="Refuse requests of the ramp dialect unless a trusted proxy's X-Forwarded-Proto says https."),
    ] = False
    ramp_browsers_refused: Annotated[
        bool, Meta(description="Refuse requests of the ramp dialect that have an Origin header, as browsers send.")
    ] = False
    ramp_signature_threads: Annotated[
        int, Meta(ge=1, le=64, description="Threads that verify the signatures of requests.")
    ] = 2
    ramp_signatures_waiting_max: Annotated[
        int, Meta(ge=1, le=100_000, description="Most requests that wait for their signature to be verified.")
    ] = 1_000
    ramp_purchase_spread_bps: Annotated[
        int,
        Meta(ge=0, lt=10_000, description="Put on the market's price when a deposit buys an asset, ten-thousandths."),
    ] = 50
    ramp_purchase_fee_bps: Annotated[
        int, Meta(ge=0, lt=10_000, description="Kept of a deposit that buys an asset, ten-thousandths.")
    ] = 100
    console_idle_minutes: Annotated[
        int,
        Meta(
            ge=1,
            le=1_440,
            description="Minutes after which an operator who opens and sends nothing must sign in again.",
        ),
    ] = 30
    console_session_hours: Annotated[
        int, Meta(ge=1, le=168, description="Hours after which an operator must sign in again in any case.")
    ] = 12
    operator_requests_per_second: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Requests per second and operator; 0: no limit.")
    ] = 0

    webhooks_local: Annotated[
        bool,
        Meta(
            description="Let webhooks go to this machine and without TLS; for sandboxes only that nobody else reaches."
        ),
    ] = False
    webhooks_ca_file: Annotated[
        str, Meta(description="PEM file of authorities to trust for webhooks beside the system's own.")
    ] = ""
    webhooks_timeout_ms: Annotated[
        int, Meta(ge=100, le=60_000, description="Longest wait for a webhook's receiver, milliseconds.")
    ] = 10_000
    webhooks_period_ms: Annotated[
        int, Meta(ge=10, le=60_000, description="Pause between two looks for webhooks to send, milliseconds.")
    ] = 1_000
    webhook_connections_max: Annotated[
        int, Meta(ge=2, le=100, description="Most database connections for webhooks.")
    ] = 4
    webhooks_in_flight_max: Annotated[
        int, Meta(ge=2, le=10_000, description="Most webhooks being sent at the same time.")
    ] = 256
    webhooks_in_flight_per_endpoint_max: Annotated[
        int, Meta(ge=1, le=1_000, description="Most webhooks being sent to one subscription at the same time.")
    ] = 32
    webhooks_in_flight_per_owner_max: Annotated[
        int, Meta(ge=1, le=10_000, description="Most webhooks being sent to one tenant at the same time.")
    ] = 64
    webhooks_response_bytes_max: Annotated[
        int, Meta(ge=0, le=65_536, description="How much of a receiver's answer is read and kept, bytes.")
    ] = 2_048
    webhooks_jitter_percent: Annotated[
        int, Meta(ge=0, le=50, description="How far the pause before a retry may be longer than the schedule says.")
    ] = 10
    webhooks_retry_after_seconds_max: Annotated[
        int, Meta(ge=1, le=604_800, description="Longest pause that a receiver's Retry-After may ask for, seconds.")
    ] = 86_400
    webhooks_rest_seconds_max: Annotated[
        int, Meta(ge=0, le=3_600, description="Longest rest of a receiver that keeps failing, seconds; 0: none.")
    ] = 30
    webhooks_disable_after_hours: Annotated[
        int, Meta(ge=1, le=8_760, description="Hours of failures only after which a subscription is switched off.")
    ] = 120
    webhooks_overlap_hours: Annotated[
        int, Meta(ge=0, le=8_760, description="Hours for which a replaced signing key signs beside the new one.")
    ] = 24
    webhooks_keep_days: Annotated[
        int, Meta(ge=1, le=3_650, description="Days for which finished deliveries are kept.")
    ] = 30
    exchanges_retry_seconds: Annotated[
        str, Meta(pattern=_SECONDS_LIST, description="Pauses before the retries of an exchanges webhook, seconds.")
    ] = "60,300,1800,7200,21600"
    exchanges_webhook_failures_max: Annotated[
        int,
        Meta(
            ge=0, le=1_000_000, description="Failures in a row that switch an exchanges webhook off; 0: only time does."
        ),
    ] = 20
    offers_retry_seconds: Annotated[
        str, Meta(pattern=_SECONDS_LIST, description="Pauses before the retries of an offers webhook, seconds.")
    ] = "1,2,4,8"
    ramp_retry_seconds: Annotated[
        str, Meta(pattern=_SECONDS_LIST, description="Pauses before the retries of a ramp webhook, seconds.")
    ] = "10,60,300,1800,7200,21600,21600,21600"
    standard_retry_seconds: Annotated[
        str, Meta(pattern=_SECONDS_LIST, description="Pauses before the retries of a Standard Webhook, seconds.")
    ] = "5,300,1800,7200,18000,36000,50400,72000,86400"

    body_bytes_max: Annotated[int, Meta(ge=1_024, le=16_777_216, description="Largest request body, bytes.")] = 65_536
    body_seconds_max: Annotated[int, Meta(ge=1, le=600, description="Longest time to wait for a body, seconds.")] = 30
    idle_seconds_max: Annotated[
        int, Meta(ge=1, le=3_600, description="Longest silence of a connection between two requests, seconds.")
    ] = 75
    approval_wait_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="How long an approval waits for the rail, milliseconds.")
    ] = 10_000
    credential_cache_ms: Annotated[
        int, Meta(ge=0, le=1_000, description="How long a credential is believed unread, milliseconds.")
    ] = 500
    worlds_max: Annotated[int, Meta(ge=1, le=100_000, description="Most open worlds in sandbox mode.")] = 2_000

    batch_commands_max: Annotated[int, Meta(ge=1, le=10_000, description="Most commands in one batch.")] = 512
    queue_waiting_max: Annotated[int, Meta(ge=1, le=1_000_000, description="Most commands waiting for one lane.")] = (
        10_000
    )
    queue_waiting_per_owner_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most commands of one tenant waiting for one lane.")
    ] = 5_000
    cached_rows_max: Annotated[int, Meta(ge=100, le=10_000_000, description="Most rows kept of one lane.")] = 100_000
    store_retries_max: Annotated[int, Meta(ge=0, le=100, description="How often a batch is tried again.")] = 5
    retry_pause_ms: Annotated[
        int, Meta(ge=1, le=10_000, description="First pause before a batch is tried again, milliseconds; it grows.")
    ] = 50
    engine_connections_max: Annotated[
        int, Meta(ge=1, le=1_000, description="Most database connections that write.")
    ] = 8
    edge_connections_max: Annotated[
        int, Meta(ge=1, le=1_000, description="Most database connections for credentials, claims and health.")
    ] = 4
    head_bytes_max: Annotated[
        int, Meta(ge=4_096, le=1_048_576, description="Largest request line and headers together, bytes.")
    ] = 65_536
    read_connections_max: Annotated[int, Meta(ge=1, le=1_000, description="Most database connections that read.")] = 8
    statement_timeout_ms: Annotated[
        int, Meta(ge=100, le=600_000, description="Longest database statement, milliseconds.")
    ] = 30_000

    deadlines_period_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="Pause between two recordings of what is due, milliseconds.")
    ] = 1_000
    deadlines_orders_max: Annotated[
        int, Meta(ge=1, le=10_000, description="Most orders recorded as due in one command; many make a slow batch.")
    ] = 64
    deadlines_grace_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=600_000,
            description="How long an expiry waits to be recorded, so that what came in time and waits is decided first,"
            " milliseconds.",
        ),
    ] = 10_000
    trade_days_period_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="Pause between two additions of trades to their days, milliseconds.")
    ] = 5_000
    settlement_period_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="Pause between two looks for orders that wait, milliseconds.")
    ] = 1_000
    settlement_orders_max: Annotated[int, Meta(ge=1, le=1_000, description="Most orders settled at the same time.")] = (
        32
    )
    rail_timeout_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="Longest wait for one answer of a rail, milliseconds.")
    ] = 30_000
    venue_period_ms: Annotated[
        int,
        Meta(ge=10, le=600_000, description="Pause between two looks for accepted quotes, unless told, milliseconds."),
    ] = 1_000
    venue_orders_max: Annotated[
        int, Meta(ge=1, le=10_000, description="Most accepted quotes at the execution venue at the same time.")
    ] = 2_048
    venue_timeout_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="Longest wait for one answer of the execution venue, milliseconds.")
    ] = 10_000
    venue_connections_max: Annotated[
        int,
        Meta(ge=1, le=100, description="Most database connections for the execution of accepted quotes and payouts."),
    ] = 2
    payout_period_ms: Annotated[
        int,
        Meta(ge=10, le=600_000, description="Pause between two looks for payouts to make, unless told, milliseconds."),
    ] = 1_000
    payout_orders_max: Annotated[
        int, Meta(ge=1, le=10_000, description="Most payouts at the payout provider at the same time.")
    ] = 1_024
    payout_timeout_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="Longest wait for one answer of the payout provider, milliseconds.")
    ] = 10_000
    payout_retry_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=600_000,
            description="First pause before a payout is asked for again that is not decided, milliseconds; each is"
            " longer by as much.",
        ),
    ] = 1_000
    payout_rest_ms_max: Annotated[int, Meta(ge=10, le=86_400_000, description="Longest such pause, milliseconds.")] = (
        60_000
    )
    job_period_ms: Annotated[
        int,
        Meta(
            ge=10, le=600_000, description="Pause between two looks for jobs of the chain, unless told, milliseconds."
        ),
    ] = 1_000
    job_orders_max: Annotated[int, Meta(ge=1, le=10_000, description="Most jobs at the chain at the same time.")] = (
        1_024
    )
    job_rest_ms_max: Annotated[
        int,
        Meta(
            ge=10, le=86_400_000, description="Longest pause before the chain is asked for a job again, milliseconds."
        ),
    ] = 15_000
    tax_timeout_ms: Annotated[
        int, Meta(ge=10, le=60_000, description="Longest wait for the tax provider, milliseconds.")
    ] = 2_000
    outcomes_period_ms: Annotated[
        int,
        Meta(
            ge=5,
            le=10_000,
            description="Pause between two looks for what others have executed, while a request waits, milliseconds.",
        ),
    ] = 20
    balance_timeout_ms: Annotated[
        int, Meta(ge=10, le=60_000, description="Longest wait for a wallet's live balance, milliseconds.")
    ] = 5_000
    rail_retry_ms: Annotated[
        int, Meta(ge=10, le=3_600_000, description="Pause before an unanswered rail is asked again, milliseconds.")
    ] = 5_000
    payout_file_format: Annotated[
        str,
        Meta(
            pattern=r"^pain\.001\.001\.0[39]$",
            description="Version of the files of payouts for a bank: `pain.001.001.09` or `pain.001.001.03`.",
        ),
    ] = "pain.001.001.09"
    payout_file_payments_max: Annotated[
        int, Meta(ge=1, le=2_000, description="Most payouts in one file for a bank.")
    ] = 500
    statement_lines_max: Annotated[
        int, Meta(ge=1, le=2_000, description="Most lines of a bank's statement taken in by one command.")
    ] = 250
    leadership_period_ms: Annotated[
        int, Meta(ge=50, le=60_000, description="Pause between two claims to lead, milliseconds.")
    ] = 1_000
    stand_by: Annotated[
        bool, Meta(description="Take no commands until this process leads; else it takes them all the same.")
    ] = False
    leadership_lease_ms: Annotated[
        int,
        Meta(
            ge=500,
            le=600_000,
            description="How long a leader may give no sign before another takes its place, milliseconds; three"
            " periods count as well.",
        ),
    ] = 5_000
    processes: Annotated[
        int, Meta(ge=1, le=64, description="Server processes on the one address; 1: no supervisor.")
    ] = 1
    process_deaths_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000,
            description="How often a server process may die within a minute of its start, in a row, before all stop.",
        ),
    ] = 10
    handover: Annotated[
        bool, Meta(description="Hand commands to the process of this host that leads; else each carries out its own.")
    ] = True
    handover_timeout_ms: Annotated[
        int, Meta(ge=50, le=600_000, description="Longest wait for the leader's answer to a command, milliseconds.")
    ] = 5_000
    stop_seconds_max: Annotated[
        int, Meta(ge=1, le=600, description="Longest wait for open requests when stopping, seconds.")
    ] = 20

    @property
    def home_path(self) -> Path:
        """Return the home folder as an absolute path."""
        return Path(self.home).expanduser().resolve()

    @property
    def base_url(self) -> str:
        """Return the URL that clients see."""
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"


def variable_of(field: str) -> str:
    """Return the environment variable that sets a field."""
    return _DATABASE_URL if field == "database_url" else _PREFIX + field.upper()


def load_settings(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Read the settings from the environment; `overrides` (from the command line) win. Raises SettingsError."""
    fields = {variable_of(field): field for field in Settings.__struct_fields__}
    given: dict[str, Any] = {}
    for variable, value in environ.items():
        if variable in fields:
            given[fields[variable]] = value
        elif variable.startswith(_PREFIX):
            near = difflib.get_close_matches(variable, fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingsError(f"There is no setting {variable}{hint}")
    given.update({field: value for field, value in overrides.items() if value is not None})
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        variable = variable_of(place.rstrip("`"))
        raise SettingsError(f"{variable} is not valid: {message}") from None
