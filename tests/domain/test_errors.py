"""The catalogue of refusals."""

from otcdesk.errors import Code, Refusal


def test_every_code_is_a_member_of_its_own_with_a_sentence() -> None:
    sentences = [code.sentence for code in Code]
    assert len(set(sentences)) == len(sentences) == len(Code.__members__)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)


def test_a_refusal_tells_its_codes_sentence_unless_told_better() -> None:
    assert Refusal(Code.QUOTE_EXPIRED).detail == Code.QUOTE_EXPIRED.sentence
    refusal = Refusal(Code.QUOTE_EXPIRED, "Too late.", by_seconds=3)
    assert (refusal.detail, refusal.facts) == ("Too late.", {"by_seconds": 3})
    assert str(refusal) == "QUOTE_EXPIRED"


def test_codes_say_whether_the_same_request_may_succeed_later() -> None:
    assert Code.OVERLOADED.retry_may_help
    assert not Code.QUOTE_EXPIRED.retry_may_help
