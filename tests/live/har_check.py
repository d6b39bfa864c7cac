# SPDX-License-Identifier: BSD-2-Clause
# har_check.py FILE - is it an HTTP Archive 1.2? Required members, types and formats of the specification; prints each
# entry's method, URL and status.
import json
import re
import sys

STR, NUM, LIST, OBJ = str, (int, float), list, dict
PAIR = {"name": STR, "value": STR}
ENTRY = {
    "startedDateTime": STR, "time": NUM, "cache": OBJ,
    "request": {"method": STR, "url": STR, "httpVersion": STR, "cookies": LIST, "headers": [PAIR], "queryString": [PAIR],
                "headersSize": NUM, "bodySize": NUM},
    "response": {"status": int, "statusText": STR, "httpVersion": STR, "cookies": LIST, "headers": [PAIR],
                 "content": {"size": NUM, "mimeType": STR}, "redirectURL": STR, "headersSize": NUM, "bodySize": NUM},
    "timings": {"send": NUM, "wait": NUM, "receive": NUM},
}
OPTIONAL = {"serverIPAddress": STR, "connection": STR, "comment": STR}
KNOWN = {"postData", "encoding", "text", "comment", "connect", "ssl", "dns", "blocked"}


def check(value, shape, where):
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        for key, inner in shape.items():
            assert key in value, f"{where}.{key} is missing"
            check(value[key], inner, f"{where}.{key}")
        for key in value:
            assert key in shape or key in OPTIONAL or key in KNOWN or key[0] == "_", f"{where}.{key} is no member"
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for i, one in enumerate(value):
            check(one, shape[0], f"{where}[{i}]")
    else:
        assert isinstance(value, shape) and not isinstance(value, bool), f"{where}: {value!r}"


log = json.load(open(sys.argv[1]))["log"]
check(log, {"version": STR, "creator": {"name": STR, "version": STR}, "entries": [ENTRY]}, "log")
assert log["version"] == "1.2"
for e in log["entries"]:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", e["startedDateTime"])
    assert re.fullmatch(r"https?://[^ \x00-\x20\x7f-\xff]+", e["request"]["url"]), e["request"]["url"]
    known = [v for v in e["timings"].values() if v != -1]
    assert not known or abs(sum(known) - e["time"]) < 0.01, e["timings"]
    if "postData" in e["request"]:
        assert isinstance(e["request"]["postData"]["mimeType"], str) and isinstance(e["request"]["postData"]["text"], str)
    print(e["request"]["method"], e["request"]["url"], e["response"]["status"])
