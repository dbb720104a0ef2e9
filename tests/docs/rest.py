#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rest.py - docs/rest.md says what the tables of grayd's REST say.

Why: routes, refusals and shapes each stand in one table; a manual beside them
would soon say something else.  The tables between `<!-- made: NAME -->` and
`<!-- end -->` are made here from routes.def and problems.def, and compared;
a block of JSON behind `<!-- shape: NAME -->` is held against schemas.json,
and every shape that a route takes or gives has such an example.

usage: rest.py ROOT [--write]
"""
import json
import pathlib
import re
import sys
import tempfile

MADE = re.compile(r"(<!-- made: (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
SHAPE = re.compile(r"<!-- shape: (\w+) -->\n```json\n(.*?)```", re.S)
# What links or lists what another example shows already.
NO_EXAMPLE = {"OpenAPI", "AuditRecords", "Documents", "Releases", "Health"}


def rows_of(root, name, macro):
    """The calls of a macro in a table, each a list of its arguments."""
    text = (root / "control/call" / name).read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^#.*?(?<!\\)$", "", text, flags=re.S | re.M)
    found = []
    for body in re.findall(macro + r"\(((?:[^()\"]|\"[^\"]*\")*)\)", text):
        cells = re.findall(r"(\"[^\"]*\"(?:\s*\"[^\"]*\")*)|([^,\s]+)", body)
        found.append(["".join(re.findall(r"\"([^\"]*)\"", quoted))
                      if quoted else word for quoted, word in cells])
    return found


def code(text):
    return " ".join(f"`{word}`" for word in text.split())


def make_routes(root):
    lines = ["| call | right | scope of | query | body | answer | what |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    scopes = {"NONE": "", "NAME": "{name}", "EACH": "each name",
              "ALL": "every name"}
    for (_, method, path, right, resource, where, query, request, response,
         summary) in rows_of(root, "routes.def", "GRAYD_ROUTE"):
        if where == "CONTROL":
            query = (query + " dryRun").strip()
        answer = response if response[:1].isupper() else f"`{response}`"
        lines.append(f"| `{method} {path}` | {right.lower()} | "
                     f"{scopes[resource]} | {code(query)} | {request} | "
                     f"{answer} | {summary} |")
    return "\n".join(lines) + "\n"


def make_problems(root):
    lines = ["| status | code | what |", "| --- | --- | --- |"]
    for _, status, word, title in rows_of(root, "problems.def",
                                          "GRAYD_PROBLEM"):
        lines.append(f"| {status} | `{word}` | {title} |")
    return "\n".join(lines) + "\n"


MAKERS = {"routes": make_routes, "problems": make_problems}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool,
         "integer": int, "number": (int, float), "null": type(None)}


def is_type(value, name):
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def wrong(schemas, schema, value, at=""):
    """The first sentence about what is wrong, or None."""
    if "$ref" in schema:
        return wrong(schemas, schemas[schema["$ref"].split("/")[-1]], value,
                     at)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_type(value, kind) for kind in kinds):
        return f"{at or '/'}: no {' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        for key in schema.get("required", []):
            if key not in value:
                return f"{at}: {key} is missing"
        for key, one in value.items():
            inner = schema.get("properties", {}).get(key)
            if inner is None and schema.get("additionalProperties") is False:
                return f"{at}/{key}: no such member"
            bad = inner and wrong(schemas, inner, one, f"{at}/{key}")
            if bad:
                return bad
    if isinstance(value, list):
        for i, one in enumerate(value):
            bad = wrong(schemas, schema.get("items", {}), one, f"{at}/{i}")
            if bad:
                return bad
    return None


def check(root):
    bad = []
    text = (root / "docs/rest.md").read_text(encoding="utf-8")
    made = {name: body for _, name, body, _ in MADE.findall(text)}
    for name, make in MAKERS.items():
        if made.get(name) != make(root):
            bad.append(f"docs/rest.md: the table '{name}' is not what the "
                       "code's table makes; run rest.py ROOT --write")
    schemas = json.loads((root / "control/call/schemas.json")
                         .read_text(encoding="utf-8"))
    shown = set()
    for name, body in SHAPE.findall(text):
        shown.add(name)
        if name not in schemas:
            bad.append(f"docs/rest.md: there is no shape {name}")
            continue
        said = wrong(schemas, schemas[name], json.loads(body))
        if said:
            bad.append(f"docs/rest.md: the example of {name}: {said}")
    for row in rows_of(root, "routes.def", "GRAYD_ROUTE"):
        for name in row[7:9]:
            if name in schemas and name not in shown | NO_EXAMPLE:
                bad.append(f"docs/rest.md: no example of {name}")
                shown.add(name)
    return bad


def write(root):
    path = root / "docs/rest.md"
    text = MADE.sub(lambda m: m[1] + MAKERS[m[2]](root) + m[4],
                    path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")


# A fault in one of the files, and it must be seen.
OFFENCES = [
    ("docs/rest.md", "| `GET /healthz` | none |", "| `GET /healthz` | read |"),
    ("control/call/routes.def", '"/v1/status", READ', '"/v1/status", CHANGE'),
    ("control/call/problems.def", "GRAYD_PROBLEM(STALE, 412",
     "GRAYD_PROBLEM(STALE, 413"),
    ("docs/rest.md", '"killed": false', '"killed": "no"'),
    ("docs/rest.md", '"name": "cart-2",', '"nam": "cart-2",'),
    ("docs/rest.md", "<!-- shape: Release -->", ""),
    ("control/call/schemas.json", '"Paused"', '"Held"'),
]


def offences(root):
    bad = []
    names = ["docs/rest.md", "control/call/routes.def",
             "control/call/problems.def", "control/call/schemas.json"]
    for name, old, new in OFFENCES:
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            for one in names:
                text = (root / one).read_text(encoding="utf-8")
                if one == name:
                    if old not in text:
                        bad.append(f"offence not planted: {old}")
                    text = text.replace(old, new, 1)
                (tree / one).parent.mkdir(parents=True, exist_ok=True)
                (tree / one).write_text(text, encoding="utf-8")
            if not check(tree):
                bad.append(f"nobody sees '{new}' in {name}")
    return bad


def main():
    root = pathlib.Path(sys.argv[1])
    if "--write" in sys.argv:
        write(root)
    bad = check(root) + offences(root)
    for sentence in bad:
        print(sentence)
    print(f"rest: {len(bad)} faults, {len(OFFENCES)} offences tried")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
