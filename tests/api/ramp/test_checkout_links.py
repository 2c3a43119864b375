"""The secrets of checkouts' pages: made again for the same request, and of use for nothing else."""

from uuid import UUID, uuid4

from otcdesk.api.ramp.checkout_links import CheckoutLinks, is_of, links_of, token_hash

_ONE, _OTHER = UUID(int=1 << 64), UUID(int=2 << 64)


def links(key: bytes = b"k" * 32) -> CheckoutLinks:
    return links_of(key, "https://desk.example", "/checkout")


def test_the_same_request_has_the_same_address_and_no_other_has() -> None:
    asked = [(1, _ONE, "n"), (2, _ONE, "n"), (1, _OTHER, "n"), (1, _ONE, "m"), (1, _ONE, ""), (1, _ONE, "n1:")]
    tokens = [links().token(*one) for one in asked]
    assert tokens == [links().token(*one) for one in asked]
    assert len(set(tokens)) == len(asked)
    assert len({*tokens, *(links(b"o" * 32).token(*one) for one in asked)}) == 2 * len(asked)
    assert {len(token) for token in tokens} == {43}


def test_parts_do_not_run_together() -> None:
    assert links().form_mark(_ONE, 2, "3") != links().form_mark(_ONE, 23, "")


def test_a_mark_is_of_one_version_of_one_checkout() -> None:
    mark = links().form_mark(_ONE, 2, "token")
    assert links().is_of_form(mark, _ONE, 2, "token")
    for wrong in ((_OTHER, 2, "token"), (_ONE, 3, "token"), (_ONE, 2, "other")):
        assert not links().is_of_form(mark, *wrong)
    for text in ("", mark[:-1], mark + "=", "ä"):
        assert not links().is_of_form(text, _ONE, 2, "token")


def test_what_is_kept_gives_no_token_away() -> None:
    token = links().token(1, _ONE, "n")
    kept = token_hash(token)
    assert token not in kept
    assert is_of(token, kept)
    assert not is_of(token[:-1], kept)
    assert not is_of("é\ud7ff", kept)


def test_an_address_is_under_the_prefix() -> None:
    order_id = uuid4()
    assert links().url(order_id, "t") == f"https://desk.example/checkout/{order_id}?token=t"


def test_the_key_is_not_written_down() -> None:
    assert "key" not in repr(links())
