from tests.support.busy_desk import BusyDesk
import sys
def evil(text, longest=100): return f'{text}<script>window.struck=1</script>"><img src=x onerror=window.struck=2>' if longest>=100 else '"><img src=x onerror=struck()>'
def test_one(server):
    for says in (evil,):
        d = BusyDesk(server, says)
        for part in ("convert","broker","pay_out","check_out","resell","run_books"):
            try:
                getattr(d, part)()
            except AssertionError as e: print("!!", part, str(e)[:600])
        print(d.operate("POST", "/webhooks", {"url":"http://127.0.0.1:9/x", "eventTypes":["*"], "description": "x"}, ok=False).text[:1000])
        print(d.operate("GET","/webhooks", ok=False).text[:1000])
        print(d.operate("POST","/payouts/%s/hold"%d.orders["payout"][-1], {"reason":"x"},ok=False).text[:1000])
        print(d.told.keys(), d.told["staff"].keys())
