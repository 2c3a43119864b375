"""Let a rail decide on a transfer that it did not take, before the books call it refused.

That a call did nothing proves nothing of the calls of others under the same reference, before it or at the same time:
another process may send while this one records. Only the rail itself can shut them all out, by `cancel`.
"""

from otcdesk.rails.protocols import ChainRail, FiatRail, RailUnavailable, RailUnknown, Receipt, Transfer


async def decided(rail: ChainRail | FiatRail, transfer: Transfer, why: RailUnavailable) -> Receipt:
    """Return what is so for ever of a transfer that a rail did not take; a refusal says why.

    Raises RailUnknown, RailPending among it, where nothing is decided.
    """
    try:
        receipt = await rail.cancel(transfer)
    except RailUnavailable as error:
        raise RailUnknown(str(error)) from None
    return receipt if receipt.done else Receipt(done=False, detail=f"{why} ({receipt.detail})")
