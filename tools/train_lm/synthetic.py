"""The two synthetic domains: JSON records and worked arithmetic, from a seed.

Both are honest text of their kind: every sum is right and every JSON line parses. Document i of a domain depends on
(seed, domain, i) alone, so a held-out document is one that training never generated.
"""
import json
import random
from datetime import datetime, timedelta, timezone

SERVICES = {
    "auth": ["login", "logout", "refresh_token", "reset_password"],
    "catalog": ["list_items", "get_item", "search", "update_stock"],
    "billing": ["create_invoice", "charge_card", "refund", "list_invoices"],
    "mailer": ["enqueue", "send", "bounce", "unsubscribe"],
    "storage": ["put_object", "get_object", "delete_object", "list_bucket"],
}
ERRORS = {401: "invalid credentials", 404: "resource not found", 409: "version conflict", 429: "too many requests",
          500: "internal error", 503: "upstream timed out"}
REGIONS = ["eu-west-1", "eu-north-1", "us-east-2", "ap-south-1"]
CITIES = ["Lisbon", "Oslo", "Kyoto", "Lima", "Tartu", "Accra", "Quito", "Graz"]
METHODS = {"list": "GET", "get": "GET", "search": "GET", "put": "PUT", "update": "PATCH", "delete": "DELETE"}


def _log(rng):
    """JSON lines of one host: requests with a clock that runs and a status that fits its message."""
    clock = datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=rng.randrange(525600))
    service = rng.choice(list(SERVICES))
    host = {"service": service, "region": rng.choice(REGIONS), "host": f"{service}-{rng.randrange(12):02d}"}
    request = rng.randrange(10000, 90000)
    lines = []
    for _ in range(rng.randrange(6, 10)):
        clock += timedelta(seconds=rng.choice([0, 1, 1, 2, 3, 5, 8, 15]))
        request += 1
        op = rng.choice(SERVICES[service])
        status = rng.choice([200] * 12 + list(ERRORS))
        row = {"ts": clock.strftime("%Y-%m-%dT%H:%M:%SZ"), "level": "info" if status == 200 else "warn" if status < 500 else "error",
               **host, "request": request, "method": METHODS.get(op.split("_")[0], "POST"), "op": op, "status": status}
        if status == 200:
            row["ms"] = rng.choice([3, 4, 5, 8, 12, 20, 35, 60])
        else:
            row["error"] = ERRORS[status]
            row["retry"] = status >= 429
        lines.append(json.dumps(row))
    return "\n".join(lines) + "\n"


def _orders(rng):
    """A nested document: orders whose lines add up to their total."""
    out = []
    number = rng.randrange(1000, 9000)
    for _ in range(rng.randrange(2, 4)):
        number += rng.randrange(1, 4)
        items = []
        for name in rng.sample(["keyboard", "monitor", "cable", "mouse", "headset", "webcam", "dock", "stand"], rng.randrange(1, 4)):
            count, price = rng.randrange(1, 5), rng.choice([5, 10, 15, 20, 25, 40, 50, 80, 100, 120])
            items.append({"item": name, "count": count, "price": price, "sum": count * price})
        total = sum(i["sum"] for i in items)
        out.append({"order": number, "city": rng.choice(CITIES), "express": rng.random() < 0.3, "items": items, "total": total,
                    "currency": "EUR", "state": rng.choice(["open", "paid", "paid", "shipped"])})
    return json.dumps({"orders": out, "count": len(out)}, indent=2) + "\n"


def _sensors(rng):
    """Readings that wander: each value is near the one before it."""
    clock = datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(hours=rng.randrange(8760))
    step = rng.choice([5, 10, 15, 30])
    city, level, humidity, lines = rng.choice(CITIES), rng.randrange(-50, 300), rng.randrange(30, 80), []
    for i in range(rng.randrange(8, 14)):
        clock += timedelta(minutes=step)
        level += rng.choice([-3, -2, -1, 0, 0, 1, 2, 3])
        humidity = min(99, max(10, humidity + rng.choice([-1, 0, 0, 1])))
        lines.append(json.dumps({"time": clock.strftime("%Y-%m-%d %H:%M"), "station": city.lower(), "seq": i,
                                 "celsius": level / 10, "humidity": humidity, "ok": True}))
    return "\n".join(lines) + "\n"


def _add(rng):
    """Addition, digit by digit from the right."""
    a, b = rng.randrange(100, 100000), rng.randrange(100, 100000)
    out, carry = [f"Compute {a} + {b}."], 0
    for i in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10**i % 10, b // 10**i % 10
        total = x + y + carry
        out.append(f"{x} + {y}{' + 1' if carry else ''} = {total}, write {total % 10}{', carry 1' if total > 9 else ''}.")
        carry = total // 10
    return "\n".join([*out, f"So {a} + {b} = {a + b}."])


def _multiply(rng):
    """A long number times a two-digit one, by partial products."""
    a, b = rng.randrange(12, 1000), rng.randrange(11, 100)
    tens, ones = b // 10 * 10, b % 10
    return (f"Compute {a} * {b}.\n{b} = {tens} + {ones}.\n{a} * {tens} = {a * tens}.\n{a} * {ones} = {a * ones}.\n"
            f"{a * tens} + {a * ones} = {a * b}.\nSo {a} * {b} = {a * b}.")


def _divide(rng):
    """Division with remainder, then the check."""
    d, q = rng.randrange(3, 30), rng.randrange(5, 60)
    r = rng.randrange(d)
    n = d * q + r
    return f"Divide {n} by {d}.\n{d} * {q} = {d * q} and {n} - {d * q} = {r}.\nThe quotient is {q} and the remainder is {r}."


def _solve(rng):
    """A linear equation in one unknown."""
    a, x, b = rng.randrange(2, 13), rng.randrange(1, 40), rng.randrange(1, 100)
    return (f"Solve {a}x + {b} = {a * x + b}.\nSubtract {b}: {a}x = {a * x}.\nDivide by {a}: x = {x}.\n"
            f"Check: {a} * {x} + {b} = {a * x + b}.")


def _sequence(rng):
    """An arithmetic sequence and its sum."""
    a, d, n = rng.randrange(1, 50), rng.randrange(2, 15), rng.randrange(5, 9)
    terms = [a + d * i for i in range(n)]
    return (f"Sequence from {a} in steps of {d}: {', '.join(map(str, terms))}.\nIt has {n} terms; first plus last is {terms[0] + terms[-1]}.\n"
            f"{n} * {terms[0] + terms[-1]} / 2 = {sum(terms)}, which is the sum.")


DOCUMENTS = {"json": (_log, _orders, _sensors), "arithmetic": (_add, _multiply, _divide, _solve, _sequence)}


def document(domain, index, seed=0):
    """Document `index` of a synthetic domain, 0.7 to 1.5 KB."""
    rng = random.Random(f"{seed}:{domain}:{index}")
    if domain == "json":
        return rng.choice(DOCUMENTS["json"])(rng)
    parts, size = [], 0
    while size < 700:
        parts.append(rng.choice(DOCUMENTS["arithmetic"])(rng))
        size += len(parts[-1])
    return "\n\n".join(parts) + "\n"
