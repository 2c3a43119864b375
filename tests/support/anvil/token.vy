# pragma version ^0.4.0
"""
A token for tests: ERC-20, minted by whoever made it, which can be told to refuse or to lie.
"""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

decimals: public(immutable(uint8))
balanceOf: public(HashMap[address, uint256])
totalSupply: public(uint256)
paused: public(bool)
silent: public(bool)
maker: immutable(address)


@deploy
def __init__(its_decimals: uint8):
    decimals = its_decimals
    maker = msg.sender


@external
def mint(to: address, units: uint256):
    assert msg.sender == maker, "not yours"
    self.balanceOf[to] += units
    self.totalSupply += units
    log Transfer(sender=empty(address), receiver=to, value=units)


@external
def pause(on: bool):
    assert msg.sender == maker, "not yours"
    self.paused = on


@external
def keep_silent(on: bool):
    """
    From now on answer that a transfer succeeded, and move nothing.
    """
    assert msg.sender == maker, "not yours"
    self.silent = on


@external
def transfer(to: address, units: uint256) -> bool:
    if self.silent:
        return False
    assert not self.paused, "transfers are paused"
    assert self.balanceOf[msg.sender] >= units, "not enough"
    self.balanceOf[msg.sender] -= units
    self.balanceOf[to] += units
    log Transfer(sender=msg.sender, receiver=to, value=units)
    return True
