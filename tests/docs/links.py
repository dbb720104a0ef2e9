#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""links.py - what the documents say is there: links, twins, documents, words.

Why: a guide that lies is worse than none.  Each check takes the root of a tree
and returns sentences; `offences` builds small trees with one fault each, and
the suite fails when a check does not see its fault, or sees one in the real
tree.

  links       a relative link leads to a file
  twins       a guide is there in English and Chinese: same headings, same
              blocks of code but for comments; the READMEs likewise, and
              they link to each other
  documents   a yaml or json block that begins with its kind passes gray lint,
              alone or with those before it in its file
  directives  gray_* in nginx blocks and code spans stands in docs/gateway.md,
              as a directive or a variable (or is a metric that we print)
  verbs       `gray VERB` is a command of gray help
  options     grayd's options stand in docs/grayd.md and its manual page

usage: links.py GRAY [ROOT]
"""
import pathlib
import re
import subprocess
import sys
import tempfile

FENCE = re.compile(r"^(\s*)```(\S*)\n(.*?)^\1```\s*$", re.M | re.S)
LANGUAGES = ("en", "zh")
# An error of the gateway begins with "gray directives need".
NO_VERBS = {"directives"}


def texts(root):
    found = sorted(root.glob("README*.md")) + sorted(root.glob("docs/**/*.md"))
    return [(path, path.read_text(encoding="utf-8")) for path in found]


def prose(text):
    return FENCE.sub("", text)


def blocks(text):
    return [(lang, body) for _, lang, body in FENCE.findall(text)]


def spans(text):
    return re.findall(r"`([^`\n]+)`", prose(text))


def links(root, _gray):
    bad = []
    for path, text in texts(root):
        plain = re.sub(r"`[^`\n]*`", "", prose(text))
        for target in re.findall(r"\]\(([^)\s]+)\)", plain):
            if re.match(r"[a-z]+:|#", target):
                continue
            if not (path.parent / target.split("#")[0]).exists():
                bad.append(f"{path.relative_to(root)}: {target} is not there")
    return bad


def shape(text):
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(text), re.M)]


def code(text):
    """Blocks without their comments, which are translated; a drawing stays."""
    result = []
    for lang, body in blocks(text):
        if lang not in ("", "text"):
            body = re.sub(r"(^|\s)\s*#.*$", "", body, flags=re.M)
        result.append((lang, [line.rstrip() for line in body.splitlines()
                              if line.strip()]))
    return result


def typed(text):
    """What can be typed or copied; a drawing has words in it."""
    return [(lang, re.sub(r"(^|\s)\s*#.*$", "", body, flags=re.M).split())
            for lang, body in blocks(text) if "--->" not in body]


def twins(root, _gray):
    bad = []
    names = {path.name for lang in LANGUAGES
             for path in (root / "docs/guide" / lang).glob("*.md")}
    for name in sorted(names):
        pair = [root / "docs/guide" / lang / name for lang in LANGUAGES]
        missing = [p for p in pair if not p.exists()]
        if missing:
            bad.append(f"{missing[0].relative_to(root)} is not there")
            continue
        one, two = (p.read_text(encoding="utf-8") for p in pair)
        if shape(one) != shape(two):
            bad.append(f"{name}: headings differ between en and zh")
        if code(one) != code(two):
            bad.append(f"{name}: code blocks differ between en and zh")
    readmes = [root / "README.md", root / "README.zh.md"]
    for here, there in (readmes, readmes[::-1]):
        if not here.exists():
            bad.append(f"{here.name} is not there")
        elif f"]({there.name})" not in here.read_text(encoding="utf-8"):
            bad.append(f"{here.name} does not link to {there.name}")
    if all(p.exists() for p in readmes):
        one, two = (p.read_text(encoding="utf-8") for p in readmes)
        if shape(one) != shape(two):
            bad.append("the READMEs' headings differ")
        if typed(one) != typed(two):
            bad.append("the READMEs' code blocks differ")
    return bad


def identity(document):
    kind = re.search(r'^(?:\{\s*)?"?kind"?: *"?(\w+)', document, re.M)
    name = re.search(r'^(?:.*,\s*)?"?name"?: *"?([\w.-]+)', document, re.M)
    return kind and kind.group(1), name and name.group(1)


def lint(gray, documents):
    with tempfile.TemporaryDirectory(prefix="gray-docs.") as folder:
        for number, document in enumerate(documents):
            ending = "json" if document.lstrip()[0] in "{[" else "yaml"
            pathlib.Path(folder, f"{number}.{ending}").write_text(
                document, encoding="utf-8")
        done = subprocess.run([gray, "lint", "-f", folder], text=True,
                              capture_output=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    errors = [line for line in said if "error:" in line]
    return None if done.returncode == 0 else (errors or said or ["?"])[0]


def documents(root, gray):
    bad = []
    for path, text in texts(root):
        before = {}
        for lang, body in blocks(text):
            body = re.sub(r"\A(\s*#.*\n)*", "", body)
            if lang not in ("yaml", "json") or not re.match(
                    r'kind:|\{\s*"kind"', body):
                continue
            own = re.split(r"^---\n", body, flags=re.M)
            mine = {identity(document): document for document in own}
            named = {key: document for key, document in before.items()
                     if key[0] in ("Service", "List")}
            before.update(mine)
            told = [lint(gray, list(tried.values()))
                    for tried in (mine, {**named, **mine}, before)]
            told = None if None in told else told[1]
            if told is not None:
                bad.append(f"{path.relative_to(root)}: the block "
                           f"{body.splitlines()[0]!r}, "
                           f"{identity(own[-1])}: {told}")
    return bad


def metrics(root):
    names = set()
    for pattern in ("runtime/counters.def", "runtime/prometheus.c"):
        for path in root.glob(pattern):
            names.update(re.findall(r"\bgray_[a-z0-9_]+", path.read_text()))
    return names | {f"{name}_{end}" for name in names
                    for end in ("bucket", "sum", "count")}


def directives(root, _gray):
    told = (root / "docs/gateway.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^### (gray_\w+)", told, re.M))
    variables = set(re.findall(r"^\| `\$(gray_\w+)`", told, re.M))
    printed = metrics(root)
    bad = []
    for path, text in texts(root):
        where = path.relative_to(root)
        nginx = [body for lang, body in blocks(text) if lang == "nginx"]
        for place, pieces, allowed in (("nginx block", nginx, known),
                                       ("text", spans(text), known | printed)):
            for piece in pieces:
                for dollar, name in re.findall(
                        r"(\$|(?<![\w./$-]))(gray_[a-z0-9_]+)(?![\w(./])",
                        piece):
                    if name not in (variables if dollar else allowed):
                        bad.append(f"{where}: {dollar}{name} in a {place} is "
                                   "not in docs/gateway.md")
    return bad


def verbs(root, gray):
    told = subprocess.run([gray, "help"], text=True, capture_output=True,
                          check=True).stdout
    known = set(re.findall(r"^ +([a-z][a-z-]*)", told, re.M))
    bad = []
    for path, text in texts(root):
        said = [span for span in spans(text) if span.startswith("gray ")]
        for lang, body in blocks(text):
            if lang in ("", "sh", "console", "text"):
                said += re.findall(r"(?:^|\$ |[|;&(] ?|do )(gray [a-z-]+.*)",
                                   body, re.M)
        for words in said:
            verb = re.match(r"gray ([a-z][a-z-]*)", words)
            if verb and verb.group(1) not in known | NO_VERBS:
                bad.append(f"{path.relative_to(root)}: gray {verb.group(1)} "
                           "is no command")
    return bad


def options(root, _gray):
    """Every option of grayd, and no other, in its manual and its page."""
    known = set(re.findall(r'GRAYD_OPTION\(\w+, "([^"]+)"', (
        root / "control/options.def").read_text(encoding="utf-8")))
    page = (root / "docs/grayd.md").read_text(encoding="utf-8")
    manual = (root / "docs/man/grayd.8").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines()
                     if line.startswith("| `--"))
    said = {"docs/grayd.md": set(re.findall(r"`--([a-z-]+)[ `]", rows)),
            "docs/man/grayd.8": {word.replace("\\-", "-") for word in
                                 re.findall(r"^\.B \\-\\-(\S+)", manual,
                                            re.M)}}
    bad = []
    for path, words in said.items():
        bad += [f"{path}: --{word} is missing"
                for word in known - words - {"help", "version"}]
        bad += [f"{path}: --{word} is no option" for word in words - known]
    return bad


CHECKS = (links, twins, documents, directives, verbs, options)

GOOD = {
    "control/options.def": 'GRAYD_OPTION(STATE, "state-x", "DIR", "t")\n',
    "docs/grayd.md": "| `--state-x DIR` | t |\n",
    "docs/man/grayd.8": ".B \\-\\-state\\-x\n",
    "README.md": "# A\n[zh](README.zh.md) [g](docs/gateway.md)\n"
                 "`gray lint` `gray_one` `$gray_two` `gray_call()`\n",
    "README.zh.md": "# A\n[en](README.md)\n",
    "docs/gateway.md": "### gray_one\n\n| `$gray_two` | x |\n"
                       "```nginx\ngray_one $gray_two;\n```\n",
    "docs/guide/en/a.md": "# A\n```console\n$ gray lint  # x\n```\n"
                          "```yaml\nkind: List\nname: a\nids: [\"1\"]\n```\n"
                          "```json\n{\"kind\": \"List\", \"name\": \"b\", "
                          "\"ids\": [\"1\"]}\n```\n",
    "docs/guide/zh/a.md": "# B\n```console\n$ gray lint  # y\n```\n"
                          "```yaml\nkind: List\nname: a\nids: [\"1\"]\n```\n"
                          "```json\n{\"kind\": \"List\", \"name\": \"b\", "
                          "\"ids\": [\"1\"]}\n```\n",
}

# The check, the file (None: taken away), what is appended to it.
OFFENCES = (
    (links, "README.md", "[x](docs/nowhere.md)"),
    (links, "docs/guide/en/a.md", "[x](../../a.md#part)"),
    (twins, "docs/guide/zh/a.md", "## more"),
    (twins, "docs/guide/en/a.md", "```console\n$ gray plan\n```"),
    (twins, "docs/guide/en/b.md", "# only here"),
    (twins, "README.zh.md", None),
    (twins, "README.md", "```\nmake run\n```"),
    (twins, "README.md", "## more"),
    (documents, "docs/guide/en/a.md", "```yaml\nkind: List\nids: 1\n```"),
    (documents, "README.md", "```yaml\n# why\nkind: Lists\nname: a\n```"),
    (documents, "README.md", '1. x\n   ```json\n{"kind": "X"}\n   ```'),
    (documents, "docs/guide/zh/a.md", '```json\n{"kind": "List"}\n```'),
    (directives, "README.md", "`gray_three on`"),
    (directives, "README.zh.md", "```nginx\ngray_one on; gray_four;\n```"),
    (directives, "docs/guide/en/a.md", "```nginx\nx $gray_five;\n```"),
    (options, "control/options.def", 'GRAYD_OPTION(B, "b", "", "t")'),
    (options, "docs/grayd.md", "| `--other` | t |"),
    (options, "docs/man/grayd.8", ".B \\-\\-more"),
    (verbs, "README.md", "`gray publsh -f x`"),
    (verbs, "docs/guide/en/a.md", "```console\n$ gray surrender a\n```"),
    (verbs, "docs/guide/en/a.md", "```sh\ntrue && gray goo\n```"),
)


def plant(folder, path=None, more=None):
    root = pathlib.Path(folder)
    tree = dict(GOOD)
    if path is not None and more is None:
        del tree[path]
    elif path is not None:
        tree[path] = tree.get(path, "") + more + "\n"
    for name, text in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def offences(gray):
    bad = []
    with tempfile.TemporaryDirectory(prefix="gray-docs.") as folder:
        root = plant(folder)
        bad += [f"offences: the good tree is refused by {check.__name__}: "
                f"{told}" for check in CHECKS for told in check(root, gray)]
    for check, path, more in OFFENCES:
        with tempfile.TemporaryDirectory(prefix="gray-docs.") as folder:
            if not check(plant(folder, path, more), gray):
                bad.append(f"offences: {check.__name__} did not see "
                           f"{more!r} in {path}")
    return bad


def main():
    if len(sys.argv) not in (2, 3):
        print("usage: links.py GRAY [ROOT]", file=sys.stderr)
        return 2
    gray = str(pathlib.Path(sys.argv[1]).resolve())
    root = pathlib.Path(sys.argv[2] if len(sys.argv) == 3 else ".").resolve()
    bad = offences(gray)
    for check in CHECKS:
        bad += check(root, gray)
    for sentence in bad:
        print(sentence)
    print(f"{len(texts(root))} documents, {len(OFFENCES)} offences, "
          f"{len(bad)} faults")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
