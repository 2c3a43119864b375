from tests.support.consoles import signed_in
def test_x(world):
    p = signed_in(world, "trader", "admin")
    a = p.get("/account")
    print(a.status_code, world.server.log()[-1500:] if a.status_code>=500 else "")
