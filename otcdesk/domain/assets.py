"""What can be counted: the assets that a lane lists."""

from otcdesk.domain.noun import Noun
from otcdesk.money import Asset


class ListedAsset(Noun, frozen=True, kw_only=True, gc=False):
    """An asset of this lane and its number of decimals."""

    code: str
    scale: int

    @property
    def key(self) -> str:
        """Return the asset's code."""
        return self.code

    @property
    def asset(self) -> Asset:
        """Return the asset as amounts carry it."""
        return Asset(self.code, self.scale)
