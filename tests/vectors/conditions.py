# SPDX-License-Identifier: Apache-2.0
"""conditions.py - every condition of docs/documents.md, in plain Python.

Why: a second reading of the specification, written from it and not from the
engine, so that a word that two people read differently is found.  Values are
bytes, as on the wire.
Read next: decide.py, ../../docs/vectors/README.md.
"""
import collections
import datetime
import ipaddress
import re
import zoneinfo

from hashing import SHARE_ALL, bucket

VALUE_MAX = 1024
ABSENT_HOLDS = {"absent", "blank", "notIn"}
INT64_MIN, INT64_MAX = -1 << 63, (1 << 63) - 1
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def millionths(percent):
    return round(percent * 10000)


# ---- texts -----------------------------------------------------------------

def lower(value):
    """ASCII only: bytes have no language."""
    return bytes(c + 32 if 65 <= c <= 90 else c for c in value)


def folded(cond, value):
    return lower(value) if cond.get("ignoreCase") else value


def texts(cond, key):
    return [folded(cond, item.encode()) for item in cond[key]]


def glob_pattern(glob):
    return b"".join(b".*" if c == 42 else b"." if c == 63 else
                    re.escape(bytes([c])) for c in glob)


def escape_literals(pattern):
    """A literal beyond ASCII is its UTF-8 bytes, and one thing to `*`."""
    return re.sub("[^\x00-\x7f]",
                  lambda m: "(?:" + "".join(f"\\x{b:02x}" for b in
                                            m.group().encode()) + ")",
                  pattern).encode()


def regex_flags(cond):
    return re.IGNORECASE if cond.get("ignoreCase") else 0


def match_regex(cond, value):
    pattern = escape_literals(cond["regex"])
    return re.fullmatch(pattern, value, regex_flags(cond)) is not None


def match_glob(cond, value):
    pattern = glob_pattern(cond["glob"].encode())
    return re.fullmatch(pattern, value,
                        regex_flags(cond) | re.DOTALL) is not None


# ---- numbers and ids -------------------------------------------------------

def match_range(cond, value):
    if not re.fullmatch(rb"-?[0-9]+", value):
        return False
    number = int(value)
    if not INT64_MIN <= number <= INT64_MAX:
        return False
    span = cond["range"]
    return (span.get("start", INT64_MIN) <= number <
            span.get("end", INT64_MAX))


def match_mod(cond, value):
    if not re.fullmatch(rb"[0-9]+", value) or int(value) >= 1 << 64:
        return False
    rest = int(value) % cond["mod"]["divisor"]
    for item in cond["mod"]["in"]:
        if isinstance(item, int):
            first = last = item
        else:
            first, last = map(int, item.split("~"))
        if first <= rest <= last:
            return True
    return False


def match_id_tail(cond, value):
    return any(value.endswith(tail.encode()) for tail in cond["idTail"])


def match_percent(cond, value):
    percent = cond["percent"]
    return value != b"" and (bucket(percent["salt"].encode(), value) <
            millionths(percent["share"]))


# ---- versions --------------------------------------------------------------

def parse_semver(text):
    words = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
    match = re.fullmatch(r"[vV]?(\d+)(?:\.(\d+))?(?:\.(\d+))?"
                         rf"(?:-({words}))?(?:\+{words})?", text, re.ASCII)
    if match is None:
        return None
    parts = tuple(int(match.group(i) or 0) for i in (1, 2, 3))
    return (parts, match.group(4)) if max(parts) < 1 << 32 else None


def precedence(version):
    """Semantic Versioning 2.0.0, item 11."""
    parts, pre = version
    if pre is None:
        return parts, (1,)
    return parts, (0, [(0, int(p), "") if p.isdigit() else (1, 0, p)
                       for p in pre.split(".")])


def match_semver(cond, value):
    sign, wanted = re.fullmatch(r"(=|!=|<=|>=|<|>|~|\^)?\s*(.*)",
                                cond["semver"]).groups()
    wanted = parse_semver(wanted)
    try:
        found = parse_semver(value.decode("ascii"))
    except UnicodeDecodeError:
        return False
    if found is None:
        return False
    a, b = precedence(found), precedence(wanted)
    if sign in ("~", "^"):
        parts = 2 if sign == "~" else 1
        return found[0][:parts] == wanted[0][:parts]
    return {"=": a == b, None: a == b, "!=": a != b, "<": a < b, "<=": a <= b,
            ">": a > b, ">=": a >= b}[sign]


# ---- moments ---------------------------------------------------------------

def moment(text):
    """RFC 3339 to milliseconds since the epoch; None when it is none."""
    match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)"
                         r"(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))",
                         text, re.ASCII)
    if match is None:
        return None
    fields = [int(match.group(i)) for i in range(1, 7)]
    leap = fields[5] == 60  # the second after :59
    try:
        day = datetime.datetime(*fields[:5], fields[5] - leap,
                                tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    east = 0
    if match.group(8) is None:
        hours, minutes = int(match.group(10)), int(match.group(11))
        if hours > 23 or minutes > 59:
            return None
        east = (hours * 60 + minutes) * (-1 if match.group(9) == "-" else 1)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    whole = (day - epoch) // datetime.timedelta(seconds=1) + leap - 60 * east
    return whole * 1000 + int(((match.group(7) or "") + "000")[:3])


def match_date(cond, value):
    try:
        at = moment(value.decode("ascii"))
    except UnicodeDecodeError:
        return False
    span = cond["date"]
    return at is not None and (
        ("after" not in span or moment(span["after"]) <= at) and
        ("before" not in span or at < moment(span["before"])))


def local(now, zone):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (epoch + datetime.timedelta(milliseconds=now)).astimezone(
        zoneinfo.ZoneInfo(zone))


def match_time(time, now):
    """A window over midnight belongs to the day on which it begins."""
    if "from" in time and now < moment(time["from"]):
        return False
    if "until" in time and now >= moment(time["until"]):
        return False
    at = local(now, time.get("zone", "UTC"))
    day, second = at.weekday(), at.hour * 3600 + at.minute * 60 + at.second
    start, end = 0, 86400
    if "hours" in time:
        start, end = (int(t[:2]) * 3600 + int(t[3:]) * 60
                      for t in time["hours"].split("-"))
    days = time.get("days", DAYS)
    if start < end:
        return start <= second < end and DAYS[day] in days
    if second >= start:
        return DAYS[day] in days
    return second < end and DAYS[day - 1] in days


# ---- one condition ---------------------------------------------------------

def match_cidr(cond, value):
    address = ipaddress.ip_address(value.decode())
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(net, strict=False)
               for net in cond["cidr"])


ON_A_VALUE = {
    "exact": lambda c, v, _: folded(c, v) == folded(c, c["exact"].encode()),
    "in": lambda c, v, _: folded(c, v) in texts(c, "in"),
    "prefix": lambda c, v, _: folded(c, v).startswith(
        folded(c, c["prefix"].encode())),
    "suffix": lambda c, v, _: folded(c, v).endswith(
        folded(c, c["suffix"].encode())),
    "contains": lambda c, v, _: folded(
        c, c["contains"].encode()) in folded(c, v),
    "glob": lambda c, v, _: match_glob(c, v),
    "regex": lambda c, v, _: match_regex(c, v),
    "range": lambda c, v, _: match_range(c, v),
    "mod": lambda c, v, _: match_mod(c, v),
    "idTail": lambda c, v, _: match_id_tail(c, v),
    "percent": lambda c, v, _: match_percent(c, v),
    "list": lambda c, v, lists: v in lists[c["list"]],
    "cidr": lambda c, v, _: match_cidr(c, v),
    "semver": lambda c, v, _: match_semver(c, v),
    "date": lambda c, v, _: match_date(c, v),
    "blank": lambda c, v, _: v.strip(b" \t") == b"",
}
OPERATORS = set(ON_A_VALUE) | {"present", "absent", "notIn"}
UNIT_SHORT = {"list", "idTail", "percent", "mod"}


def test(op, cond, values, lists):
    """One operator over every value of its attribute."""
    if not values:
        return op in ABSENT_HOLDS
    if op == "absent":
        return False
    if op == "present":
        return True
    # A longer value is there, and nothing that looks at bytes fits it.
    values = [v for v in values if len(v) <= VALUE_MAX]
    if op == "notIn":
        refused = texts(cond, "notIn")
        return all(folded(cond, v) not in refused for v in values)
    return any(ON_A_VALUE[op](cond, v, lists) for v in values)


# How often each operator was found true and false, so that vectors which
# stopped asking for one are noticed.
found = collections.Counter()


def counted(op, answer):
    found[op, answer] += 1
    return answer


def holds(cond, request, unit, lists):
    """Whether a COND holds for a request; `unit` is bytes or None."""
    (key, body), = cond.items()
    if key == "all":
        return all(holds(c, request, unit, lists) for c in body)
    if key == "any":
        return any(holds(c, request, unit, lists) for c in body)
    if key == "not":
        return not holds(body, request, unit, lists)
    if key == "time":
        return counted("time", match_time(body, request.now))
    if key in UNIT_SHORT:
        key, body = "unit", cond
    if key == "unit":
        values = [] if unit is None else [unit]
    else:
        values = request.values(key, body)
    op = next(word for word in body if word in OPERATORS)
    return counted(op, test(op, body, values, lists))


assert SHARE_ALL == millionths(100)
