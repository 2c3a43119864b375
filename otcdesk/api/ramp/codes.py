"""What assets and networks are called on the wire: one way in sandboxes, another in live lanes (ramp contract 1).

The core has one name for each, that of the live lanes. Codes that are not of this list, or of the other environment,
are refused; what is listed in a lane decides whether it can be sold.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from otcdesk.domain.lanes import LIVE, SANDBOX
from otcdesk.forms import wrong

#: A payout and what comes back of one never are on a chain.
OFF_NETWORK: Final = "OffNetwork"

ASSETS: Final[Mapping[str, str]] = {"BTC": "BTC_TEST", "USDC": "USDC_TEST", "ETH": "ETH_TEST_SEPOLIA"}

NETWORKS: Final[Mapping[str, str]] = {
    "Bitcoin": "BitcoinTest",
    "Lightning": "LightningTest",
    "Ethereum": "EthereumTestSepolia",
    "PolygonPos": "PolygonTestAmoy",
    "Solana": "SolanaDevnet",
    "Base": "BaseTestSepolia",
    "Celo": "CeloTestSepolia",
    "FlowEvm": "FlowEvmTest",
    "Gnosis": "GnosisTestChiado",
    OFF_NETWORK: OFF_NETWORK,
}


class Environment(msgspec.Struct, frozen=True):
    """The codes of one kind of lane, by those of the core, and the other way round."""

    kind: str
    assets: Mapping[str, str]
    networks: Mapping[str, str]

    def asset(self, code: str, field: str = "CryptoCurrency") -> str:
        """Return the core's code of an asset; refuses REQUEST_INVALID naming the field."""
        return _known(self.assets, code, field)

    def network(self, code: str, field: str = "Network") -> str:
        """Return the core's name of a network; refuses REQUEST_INVALID naming the field."""
        return _known(self.networks, code, field)

    def shown_asset(self, code: str) -> str:
        """Return an asset's code on the wire; one that is not of the list stays as it is."""
        return self.assets.get(code, code)

    def shown_network(self, name: str) -> str:
        """Return a network's name on the wire; one that is not of the list stays as it is."""
        return self.networks.get(name, name)


def _known(codes: Mapping[str, str], code: str, field: str) -> str:
    for core, shown in codes.items():
        if shown == code:
            return core
    raise wrong({field: f"must be one of {', '.join(sorted(codes.values()))}"})


#: By the kind of a lane.
ENVIRONMENTS: Final[Mapping[str, Environment]] = {
    SANDBOX: Environment(SANDBOX, ASSETS, NETWORKS),
    LIVE: Environment(LIVE, dict(zip(ASSETS, ASSETS, strict=True)), dict(zip(NETWORKS, NETWORKS, strict=True))),
}
