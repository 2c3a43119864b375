"""A report is a refusal, always, and one that the audit chain keeps."""

from uuid import uuid4

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.report_token_reuse import ReportTokenReuse
from otcdesk.errors import Code
from tests.support.clocks import START
from tests.support.desk import A
from tests.support.pure import PureDesk


def test_a_report_is_refused_changes_nothing_and_is_audited() -> None:
    desk = PureDesk()
    before = dict(desk.rows)
    report = ReportTokenReuse(credential_id=uuid4(), issued_at=START)
    assert desk.refuse(report, owner_id=A) is Code.REFRESH_TOKEN_DEAD
    assert desk.rows == before
    assert CATALOGUE[ReportTokenReuse].policy.audits_refusals
