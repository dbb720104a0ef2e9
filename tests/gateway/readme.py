# SPDX-License-Identifier: Apache-2.0
"""readme.py - does what README.md says, with other ports and folders.

Why: the first ten minutes are what most people ever see.  Each block and each
`gray ...` between backticks is taken from the file itself, so that text and
product cannot part; so are the commands of "With grayd", whose own ten minutes
are typed by guide.py.  Called by the_ten_minutes_of_the_readme_are_true.vtc.
usage: readme.py PORT_OF_NGINX PORT_OF_V1 PORT_OF_V2
"""
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request

from gateway import BUILD, RUN, WORK, until

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
NGINX, V1, V2 = sys.argv[1:4]
MODULES = WORK + "/modules"

with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
    README = file.read()


def section(title):
    return README.split("\n## " + title + "\n")[1].split("\n## ")[0]


TEXT = section("Ten minutes")


def here(text):
    """The same on this machine: nothing but ports and folders changes."""
    for old, new in ((":9101", ":" + V1), (":9102", ":" + V2),
                     ("/run/graylane", RUN), ("/tmp/", WORK + "/"),
                     ("/usr/lib/nginx/modules", MODULES),
                     ("modules/ngx", MODULES + "/ngx"),
                     ("$PWD/build", BUILD), ("cp build", "cp " + BUILD),
                     ("listen 80;", "listen 127.0.0.1:%s;" % NGINX),
                     ("http://127.0.0.1", "http://127.0.0.1:" + NGINX)):
        text = text.replace(old, new)
    return text


def block(language, number=0):
    found = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.S)
    return here([body for kind, body in found if kind == language][number])


def sh(text, code=0):
    done = subprocess.run(
        ["bash", "-euc", text], cwd=WORK, capture_output=True, text=True,
        check=False, env={**os.environ, "GRAY_RUNTIME": RUN, "PATH":
                          BUILD + "/bin:" + os.environ["PATH"]})
    assert done.returncode == code, (text, done.stdout, done.stderr)
    return done.stdout


def inline(start):
    """The command between backticks that begins so."""
    return here(re.search("`(" + start + "[^`]*)`", TEXT)[1])


def write(name, text):
    with open(WORK + "/" + name, "w", encoding="utf-8") as file:
        file.write(text)


def listens(port):
    """A server that was started in the background is there some time later."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", int(port))) == 0


def tries():
    """What `gray sample` gives to paste, and what comes back."""
    for line in sh(inline("gray sample") +
                   " --url http://127.0.0.1:" + NGINX).splitlines()[1:]:
        yield line.split()[0], json.loads(sh(line[line.index("curl"):]))


# the two carts; `run` ends what has a .pid
os.mkdir(MODULES)
for line in block("").splitlines():
    if line.startswith("shop"):
        process = subprocess.Popen(
            [BUILD + "/bin/shop"] + line.rstrip("& ").split()[1:],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        write("shop-%d.pid" % process.pid, str(process.pid))
    elif not line.startswith("export"):
        sh(line)
until(lambda: listens(V1) and listens(V2))

# 1 to 3, as written
write("cart.yaml", block("yaml"))
published = sh(block("", 1))
assert "in force: generation 1, revision 1" in published, published
write("nginx.conf", block("nginx") + """
pid %s/nginx.pid;
error_log %s/error.log;
""" % (WORK, WORK))
# it keeps standard error open
sh("nginx -q -c " + WORK + "/nginx.conf 2>/dev/null")
until(lambda: os.path.exists(WORK + "/nginx.pid"))

# 4: whoever is said to be in is in, whoever is said to be out is out
seen = list(tries())
assert {word for word, _ in seen} == {"in", "out"}, seen
assert len(seen) == 10
for word, answer in seen:
    assert answer["cart"] == ("v2" if word == "in" else "v1"), (word, answer)
checks = json.loads(sh(inline("gray doctor") + " -o json || true"))["checks"]
assert "fail" not in {check["level"] for check in checks}, checks

# 5: the reason, with the rules that were tried
assert "out-of-share" in sh(inline("gray explain"))

# 6: wider; then lower, which is refused; then the button, and back
users_in = [answer["uid"] for word, answer in seen if word == "in"]
write("cart.yaml", block("yaml").replace("share: 1 ",
                                         inline("share: 10") + " "))
sh("gray publish -f cart.yaml --wait 10")
for uid in users_in:
    assert json.loads(sh("curl -s -b uid=%s http://127.0.0.1:%s/" %
                         (uid, NGINX)))["cart"] == "v2"
write("lower.yaml", block("yaml"))
sh("gray publish -f lower.yaml", code=1)
undo = re.search(r"undo: (.*)", sh(inline("gray stop")))[1]
assert json.loads(sh("curl -s -b uid=%s http://127.0.0.1:%s/" %
                     (users_in[0], NGINX)))["cart"] == "v1"
sh(undo)
assert json.loads(sh("curl -s -b uid=%s http://127.0.0.1:%s/" %
                     (users_in[0], NGINX)))["cart"] == "v2"

# 7: watched from three sides
assert re.search(r"cart-2 +10 % +open", sh(inline("gray status")))
assert "cart" in sh(inline("gray top") + " -n 1 --interval 0.1")
status = inline("curl http")
assert json.loads(sh(status))["releases"][0]["share"] == 100000
with urllib.request.urlopen(status.split()[1] + "?format=prometheus") as page:
    assert 'gray_release_share{release="cart-2"} 0.1' in page.read().decode()

# with grayd, on folders of its own: each line, and who it was
GRAYD = WORK + "/grayd"
os.mkdir(GRAYD)
daemon = subprocess.Popen(
    [BUILD + "/bin/grayd", "--state", GRAYD + "/state", "--runtime",
     GRAYD + "/run", "--socket", GRAYD + "/sock", "--listen", "none"],
    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL, text=True)
write("grayd.pid", str(daemon.pid))
assert daemon.stdout.readline().startswith("grayd ready")
os.environ["GRAY_SERVER"] = "unix:" + GRAYD + "/sock"
write("cart.yaml", block("yaml"))
lines = section("With grayd").split("```")[1].strip().splitlines()
said = {line.split()[1]: sh(line) for line in lines}
assert list(said) == ["apply", "set-weight", "stop", "changes", "audit"], said
assert "Progressing 1 % -> Progressing 10 %" in said["set-weight"], said
assert "undo: gray retry cart-2" in said["stop"], said
for verb in ("apply", "set-weight", "stop"):
    assert re.search(r"root +" + verb, said["changes"]), said["changes"]
assert said["audit"].startswith("good: 4 records"), said["audit"]
daemon.terminate()
assert daemon.wait(20) == 0
os.remove(WORK + "/grayd.pid")
del os.environ["GRAY_SERVER"]

# the end
for name in os.listdir(WORK):
    if name.startswith("shop-"):
        with open(WORK + "/" + name, encoding="utf-8") as file:
            os.kill(int(file.read()), 15)
        os.remove(WORK + "/" + name)
sh(HERE + "/gw down")
