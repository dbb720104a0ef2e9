#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""units.py - systemd's own verdict on our units.

Why: a misspelt key is ignored by systemd with a line that nobody reads, and
then the folder is gone with the service, or the hardening is.
usage: units.py GRAYD UNIT...     (GRAYD: the path that the units start)
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

GRAYD, UNITS = "", []
EXPOSURE_MOST = 3.5  # of systemd-analyze security; 10 is an open house


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=30, check=False)
    return done.returncode, done.stdout


@unittest.skipUnless(shutil.which("systemd-analyze"),
                     "systemd-analyze is not installed: units not verified")
class Units(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="gray-units-", dir="/dev/shm")
        self.units = [self.copy(unit) for unit in UNITS]

    def tearDown(self):
        shutil.rmtree(self.dir)

    def copy(self, unit, change=lambda text: text):
        """A unit that starts something that is there; grayd may not be
        installed."""
        path = os.path.join(self.dir, os.path.basename(unit))
        with open(unit, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(GRAYD, text)
        with open(path, "w", encoding="utf-8") as f:
            f.write(change(text.replace(GRAYD, shutil.which("true"))))
        return path

    def verify(self):
        code, said = analyze("verify", "--man=no", *self.units)
        ours = [line for line in said.splitlines()
                if self.dir in line or "grayd" in line or "graylane" in line]
        return code, ours

    def test_systemd_has_nothing_to_say(self):
        self.assertEqual(self.verify(), (0, []))

    def test_a_misspelt_key_is_found(self):
        for unit in UNITS:
            self.copy(unit, lambda text: text.replace(
                "RuntimeDirectoryPreserve", "RuntimeDirectoryPreserv"))
            self.assertNotEqual(self.verify()[1], [])
            self.copy(unit)

    def exposure(self, path):
        _, said = analyze("security", "--offline=true", "--no-pager", path)
        found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
        self.assertIsNotNone(found, said)
        return float(found.group(1))

    def test_hardening(self):
        for path in self.units:
            self.assertLessEqual(self.exposure(path), EXPOSURE_MOST)
        path = self.copy(UNITS[0], lambda text: re.sub(
            r"(?m)^(Protect|Private|Restrict|System|Cap).*\n", "", text))
        self.assertGreater(self.exposure(path), EXPOSURE_MOST)

    def test_folders_outlive_the_service(self):
        for path in self.units:
            with open(path, encoding="utf-8") as f:
                text = f.read()
            self.assertRegex(text, r"(?m)^RuntimeDirectory=graylane\b")
            self.assertIn("\nRuntimeDirectoryPreserve=yes\n", text)
            self.assertIn("\nStateDirectory=graylane\n", text)

    def test_the_policy_is_there_before_nginx(self):
        with open(self.units[1], encoding="utf-8") as f:
            text = f.read()
        self.assertRegex(text, r"(?m)^Before=.*\bnginx\.service\b")
        self.assertRegex(text, r"(?m)^Before=.*\bgrayd\.service\b")
        self.assertRegex(text, r"(?m)^ExecStart=\S+ --restore$")
        self.assertRegex(text, r"(?m)^WantedBy=.*\bnginx\.service\b")
        self.assertNotRegex(text, r"(?m)^(RequiredBy|Requires)=")


if __name__ == "__main__":
    GRAYD, UNITS = sys.argv[1], sys.argv[2:]
    unittest.main(argv=sys.argv[:1], verbosity=1)
