"""The supervisors part of world files: what it declares, and what is refused."""

from importlib.resources import files

import pytest

from otcdesk.domain.compact_ids import print_compact_id
from otcdesk.domain.permissions import ALL, PERMISSIONS
from otcdesk.domain.world import FileTenant, declaration_of, parse_world, tenant_id
from otcdesk.domain.world_supervisors import check_email, check_role, declared_supervisors
from otcdesk.errors import Code, Refusal

WORLD = (files("otcdesk") / "worlds" / "deals.toml").read_text(encoding="utf-8")


def tenants(text: str = WORLD) -> tuple[FileTenant, ...]:
    return parse_world(text).tenants


def with_other(text: str) -> str:
    """Return the world with another tenant before its operators."""
    branch = '[[tenants]]\nref = "other"\n[[tenants.branches]]\nref = "N"\n'
    return WORLD.replace("[[operators]]", f"{branch}{text}\n[[operators]]")


def test_roles_and_supervisors_have_the_ids_and_branches_of_the_file() -> None:
    declared = declared_supervisors(tenants())
    admin, reader = declared.roles
    assert (admin.name, admin.priority, admin.permissions) == ("admin", 100, ("*",))
    assert (reader.name, reader.priority, reader.permissions) == ("reader", 10, ())
    third = declared.supervisors["estate", "third"]
    assert print_compact_id(third.id) == "65a1b2c3d4e5f60718290f03"
    assert print_compact_id(third.branch_id) == "65a1b2c3d4e5f60718290d03"
    assert (third.role_id, third.tenant_id, third.enabled) == (admin.id, tenant_id("estate"), True)


def test_without_ids_they_have_those_of_their_names() -> None:
    added = (
        '[[tenants.roles]]\nref = "r"\npermissions = ["read"]\n'
        '[[tenants.supervisors]]\nref = "s"\nbranch = "N"\nrole = "r"\nemail = "s@example.com"\nenabled = false\n'
    )
    first, second = (declared_supervisors(tenants(with_other(added))) for _ in range(2))
    assert first == second
    one = first.supervisors["other", "s"]
    assert not one.enabled
    assert one.role_id == first.roles[-1].id
    (branch,) = declaration_of(parse_world(with_other(added))).resales[1].branches
    assert one.branch_id == branch.id


def test_a_client_that_calls_as_a_supervisor_resells_no_brokerage() -> None:
    (estate,) = tenants()
    assert not estate.resells
    assert tenants(with_other('[[tenants.clients]]\nref = "c"\n'))[1].resells


@pytest.mark.parametrize(
    "before, after, told",
    [
        ('permissions = ["*"]', 'permissions = ["*", "otc.all"]', "no permission 'otc.all'"),
        ('permissions = ["*"]', 'permissions = ["OTC.create"]', "no permission 'OTC.create'"),
        ("priority = 100", f"priority = {2**31}", "the priority of a role"),
        ('branch = "N3"\nrole', 'branch = "N9"\nrole', "'third' needs a branch and a role"),
        ('role = "reader"', 'role = "nobody"', "'reader' needs a branch and a role"),
        ('email = "root@example.com"', 'email = "root"', "'root' is not an e-mail address"),
        ('supervisor = "third"', 'supervisor = "fourth"', "client 'third' needs a supervisor"),
        ('ref = "reader"\nid = "65a1b2c3d4e5f60718290f11"', 'ref = "admin"', "two roles or supervisors alike"),
        ('ref = "third"\nid', 'ref = "root"\nid', "two roles or supervisors alike"),
        ("65a1b2c3d4e5f60718290f03", "65a1b2c3d4e5f60718290f02", "have the same id"),
        ("65a1b2c3d4e5f60718290f11", "65a1b2c3d4e5f60718290f10", "have the same id"),
        ("65a1b2c3d4e5f60718290f03", "65a1b2c3", "24 hexadecimal digits"),
        ('email = "root@example.com"', 'email = "root@example.com"\npassword = "x"', "password"),
    ],
)
def test_what_is_refused(before: str, after: str, told: str) -> None:
    assert WORLD.count(before) == 1
    with pytest.raises(Refusal) as caught:
        declared_supervisors(tenants(WORLD.replace(before, after)))
    assert caught.value.code is Code.DECLARATION_INVALID
    assert told in caught.value.detail


def test_a_supervisor_of_another_tenant_is_nobodys_client() -> None:
    with pytest.raises(Refusal) as caught:
        declared_supervisors(tenants(with_other('[[tenants.clients]]\nref = "c"\nsupervisor = "root"\n')))
    assert "client 'c' needs a supervisor of tenant 'other'" in caught.value.detail


def test_every_permission_may_be_given() -> None:
    check_role(0, (*PERMISSIONS, ALL))
    with pytest.raises(Refusal):
        check_role(0, ("",))


@pytest.mark.parametrize("email", ["", "@", "a@", "@b", "a b@c", "a@b\n", "a@b\u2028", "x" * 250 + "@b.cc"])
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(Refusal):
        check_email(email)


@pytest.mark.parametrize("email", ["a@b", "ä@example.com", "a+b@c.example", "x" * 248 + "@b.cc", '"a@b"@c'])
def test_what_is_an_address(email: str) -> None:
    check_email(email)
