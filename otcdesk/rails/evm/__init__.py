"""Chains that speak Ethereum's JSON-RPC: ERC-20 tokens between wallets whose keys the desk has."""
