"""Pages for people: what is put into them stays text, and where a form may end."""

import pytest
from jinja2 import UndefinedError

from otcdesk.api.pages import HTML, Templates, policy, see_other

TEMPLATES = Templates("otcdesk.api.ramp")


def test_what_is_put_into_a_page_is_escaped() -> None:
    html = TEMPLATES.html("refused.html", {"title": "<b>", "why": "\"'&<script>", "request_id": "1"}).decode()
    assert "<script>" not in html
    assert "&#34;&#39;&amp;&lt;script&gt;" in html


def test_a_name_that_nobody_gave_is_a_mistake() -> None:
    with pytest.raises(UndefinedError):
        TEMPLATES.html("refused.html", {"title": "x", "why": "y"})


def test_a_policy_names_where_forms_may_end() -> None:
    name, value = policy("https://shop.example")
    assert name == b"content-security-policy"
    assert b"form-action 'self' https://shop.example;" in value
    assert b"form-action 'self';" in policy()[1]


def test_a_browser_is_sent_on() -> None:
    answer = see_other("https://shop.example/?a=b")
    assert (answer.status, answer.body, answer.content_type) == (303, b"", HTML)
    assert (b"location", b"https://shop.example/?a=b") in answer.headers
    with pytest.raises(UnicodeEncodeError):
        see_other("https://shöp.example/")
