#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_marks.py - the oracle of marks sees each fault that it is there for.

Why: an oracle that never objects is worse than none, and one that objects to
what is right is soon switched off.  A million answers of a whole ramp (1, 10,
50, back to 10 by retreat, 50, freeze, thaw, abort, retry) and of orders that
are decided once must pass, in any overlap; the same story with one fault
planted must be refused in the right words.
"""
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import journal
import marks
from marks import FAILED, NEW, OLD, REFUSED, Act, Answer, Record, Scope

MS = 1_000_000
STEP = 1000 * MS
USERS = 4000
PER_STEP = 100_000
STEPS = [("1", 1), ("10", 10), ("50", 50), ("retreat", 10), ("again", 50),
         ("freeze", 50), ("thaw", 100), ("abort", 0), ("retry", 10)]


class Story:
    """A good history: bucket of a user = its number, of USERS."""

    def __init__(self, per_step=PER_STEP, seed=4):
        self.dice = random.Random(seed)
        self.per_step = per_step
        self.now, self.sequence, self.attempt = STEP, 0, 1
        self.rows, self.acts, self.records = [], [], []
        self.inside = {}  # unit: attempt
        self.share, self.closed, self.word = 0, False, "open"

    def record(self, unit, state, actor="", settles=False):
        self.sequence += 1
        self.records.append(Record(self.sequence, unit, state, self.attempt,
                                   self.now, actor, 0, settles))

    def act(self, what, effect):
        """It is in force from some moment between call and return, while
        answers go on."""
        called = self.now
        self.answers(self.per_step // 50)
        effect()
        self.answers(self.per_step // 50)
        kept = frozenset(self.inside) if what == "freeze" else None
        self.acts.append(Act(what, called, self.now, kept, self.sequence))

    def asked(self, unit):
        """The truth at this moment, recorded as Graylane would."""
        if self.word == "baseline":
            return OLD
        if unit not in self.inside:
            if self.closed or unit >= self.share * USERS // 100:
                return OLD
            self.inside[unit] = self.attempt
            self.record(unit, "in")
        return NEW

    def answers(self, count=None):
        """Each is decided at `now`, between its sending and its answer."""
        for _ in range(count or self.per_step):
            self.now += STEP // self.per_step
            unit = self.dice.randrange(USERS)
            said = self.asked(unit)
            fate = self.dice.random()
            if fate < 0.01:
                said = FAILED if fate < 0.005 else REFUSED
            self.rows.append(Answer(
                self.now - self.dice.randrange(10 * MS),
                self.now + self.dice.randrange(10 * MS), unit, said,
                self.dice.randrange(3)))

    def leave(self, share):
        for unit in [u for u in self.inside if u >= share * USERS // 100]:
            self.record(unit, "revoked", "root")
            del self.inside[unit]

    def step(self, name, share):
        def effect():
            self.share = share
            if name in ("freeze", "thaw"):
                self.closed = name == "freeze"
            if name in ("abort", "retry"):
                self.word = "baseline" if name == "abort" else "open"
            if name == "retreat":
                self.leave(share)
            if name in ("retreat", "retry"):
                self.attempt += 1
        verbs = {"1": "start", "10": "set-weight", "50": "set-weight",
                 "again": "set-weight"}
        self.act(verbs.get(name, name), effect)
        self.answers()
        if name == "abort":
            self.leave(0)  # in the background
            self.answers()

    def whole(self):
        for name, share in STEPS:
            self.step(name, share)
        self.rows.sort(key=lambda row: row.answered)
        return self

    def judge(self, scope=Scope("users", settled=True)):
        return marks.judge(scope, self.rows, self.acts, self.records)


def orders(count=30_000, each=5):
    """Orders are created inside or outside, and updated; a freeze in between;
    a tenth of them are inside in the end."""
    story = Story()
    for unit in range(count):
        if unit == count // 2:
            story.closed = True
            story.acts.append(Act("freeze", story.now - 1, story.now,
                                  frozenset(story.inside), story.sequence))
        if unit == count * 3 // 4:
            story.closed = False
            story.acts.append(Act("thaw", story.now - 1, story.now))
        inside = unit % 10 == 0 and not story.closed
        story.record(unit, "in" if inside else "out")
        if inside:
            story.inside[unit] = 1
        for n in range(each):
            story.now += 20_000
            story.rows.append(Answer(story.now - 5000, story.now + 5000, unit,
                                     NEW if inside else OLD, n % 3, n))
        if unit % 7 == 0:  # it is over; and asked about all the same
            story.record(unit, "in" if inside else "out", "root", True)
    return story


ORDERS = Scope("orders", entity=True, strict=True)

# ---- faults ----------------------------------------------------------------


def at_step(story, name, wanted):
    """Index of a row well after that step's act returned."""
    begin = story.acts[[n for n, _ in STEPS].index(name)].returned + STEP // 3
    return next(i for i, row in enumerate(story.rows)
                if row.sent > begin and wanted(row))


def say(story, i, said):
    story.rows[i] = story.rows[i]._replace(said=said)


def drop(story, wanted):
    story.records = [r for r in story.records if not wanted(r)]


def one_falls_out(story):
    say(story, at_step(story, "50", lambda r: r.said == NEW and r.unit < 300),
        OLD)


def known(story, row):
    """It was told new a moment before, in the same step."""
    return any(other.unit == row.unit and other.said == NEW and
               row.sent - STEP // 4 < other.answered < row.sent
               for other in story.rows)


def falls_out_after_it_came_back(story):
    say(story, at_step(story, "again", lambda r: r.said == NEW and
                       500 < r.unit < 1900 and known(story, r)),
        OLD)


def retreat_leaves_no_record(story):
    drop(story, lambda r: r.state == "revoked" and r.unit == 1000)


def two_in_of_an_attempt(story):
    first = next(r for r in story.records if r.unit == 7)
    story.records.append(first._replace(sequence=story.sequence + 1))


def a_sequence_twice(story):
    story.records.insert(50, story.records[50])


def lost_from_the_journal(story):
    drop(story, lambda r: r.unit == 123)


def void_after_it_was_told(story):
    unit = next(row.unit for row in reversed(story.rows) if row.said == NEW)
    story.records.append(Record(story.sequence + 1, unit, "void", 2,
                                story.now))


def comes_in_while_frozen(story):
    say(story, at_step(story, "freeze", lambda r: r.said == OLD), NEW)


def durable_while_frozen(story):
    frozen = next(a for a in story.acts if a.what == "freeze")
    i = next(i for i, r in enumerate(story.records) if r.at > frozen.returned)
    story.records[i] = story.records[i]._replace(at=frozen.called - MS)


def new_although_aborted(story):
    say(story, at_step(story, "abort", lambda r: r.said == OLD), NEW)


def settled_as_another(story):
    story.records.append(Record(story.sequence + 1, 11, "in", 1, story.now,
                                "root", 0, True))


def settled_and_never_told(story):
    story.records.append(Record(story.sequence + 1, 10 ** 9, "out", 1,
                                story.now, "root", 0, True))


def in_and_out(story):
    story.records.append(Record(story.sequence + 1, 11, "in", 1, story.now))


def order_comes_in(story):
    i = next(i for i, r in enumerate(story.rows)
             if r.unit == 12345 and r.stage == 3)
    say(story, i, NEW)


def order_falls_out(story):
    i = next(i for i, r in enumerate(story.rows)
             if r.unit == 1230 and r.stage == 3)
    say(story, i, OLD)


def order_created_frozen_comes_in(story):
    unit = 30_000 * 5 // 8
    drop(story, lambda r: r.unit == unit)
    for i, row in enumerate(story.rows):
        if row.unit == unit:
            say(story, i, NEW)


def strict_order_not_kept(story):
    drop(story, lambda r: r.unit == 1230)


def told_old_and_kept_in(story):
    for i, record in enumerate(story.records):
        if record.unit == 12345:
            story.records[i] = record._replace(state="in")


USER_FAULTS = [
    (one_falls_out, "flips"), (falls_out_after_it_came_back, "flips"),
    (retreat_leaves_no_record, "flips"), (two_in_of_an_attempt, "doubles"),
    (a_sequence_twice, "doubles"), (lost_from_the_journal, "lost"),
    (void_after_it_was_told, "lost"), (comes_in_while_frozen, "late"),
    (durable_while_frozen, "late"), (new_although_aborted, "deaf")]
ORDER_FAULTS = [
    (in_and_out, "doubles"), (settled_as_another, "doubles"),
    (settled_and_never_told, "doubles"), (order_comes_in, "flips"),
    (order_falls_out, "flips"), (order_created_frozen_comes_in, "late"),
    (strict_order_not_kept, "lost"), (told_old_and_kept_in, "flips")]


def copied(story):
    other = Story()
    other.__dict__.update(story.__dict__)
    other.rows, other.acts, other.records = map(
        list, (story.rows, story.acts, story.records))
    return other


def good(wrong, story, scope):
    begun = time.monotonic()
    verdict = story.judge(scope)
    print(f"{scope.name}: {len(story.rows)} answers, {len(story.records)} "
          f"records judged in {time.monotonic() - begun:.1f} s: "
          f"{verdict.counts}")
    wrong += [f"{scope.name}: false alarm: {line}"
              for line in verdict.sentences()]


def planted(wrong, make, scope, faults):
    story = make()
    for plant, kind in faults:
        spoilt = copied(story)
        plant(spoilt)
        found = spoilt.judge(scope).violations
        if kind not in found:
            wrong.append(f"{plant.__name__}: {kind} is not seen: {found}")


# ---- the journal of a real LMDB --------------------------------------------

SCOPE, OTHER = 0xfeedfacecafebeef, 7


def packed(scope, unit, slot, at, kind, actor="", reason="", key=None,
           reader=7):
    texts = [text.encode() for text in (unit, actor, reason)]
    return journal.HEAD.pack(
        1, 2, 3, scope, zlib.crc32((key or unit).encode()), 5, slot, at, 6, reader, 8, 9,
        len(texts[0]),
        len(texts[2]), kind, 0, 0, len(texts[1])) + b"".join(texts)


def loaded(folder, databases):
    """Makes an LMDB with mdb_load, as anybody can."""
    text = ""
    for name, rows in databases.items():
        text += (f"VERSION=3\nformat=bytevalue\ndatabase={name}\n"
                 "type=btree\nmapsize=1048576\nmaxreaders=126\n"
                 "integerkey=1\nHEADER=END\n")
        for key, value in rows:
            text += f" {struct.pack('<Q', key).hex()}\n {value.hex()}\n"
        text += "DATA=END\n"
    subprocess.run(["mdb_load", folder], input=text.encode(), check=True)


def journal_is_read(wrong):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        loaded(folder, {
            journal.LOG: [
                (1, packed(SCOPE, "17", 2 | 1 << 8, 1000, journal.ADMIT)),
                (2, packed(OTHER, "17", 3 | 1 << 8, 1001, journal.ADMIT)),
                (300, packed(SCOPE, "\u00e9ve", 3, 1002, journal.ADMIT)),
                (70000, packed(SCOPE, "17", 4 | 1 << 8, 2000, journal.REVOKE,
                               "root", "a reason")),
                (70001, packed(SCOPE, "", 6, 2001, journal.VOID,
                               key="\u00e9ve")),
                (70002, packed(SCOPE, "18", 2 | 1 << 8, 7, journal.ADMIT,
                               reader=journal.NOBODY)),
                (70003, packed(SCOPE, "18", 2 | 1 << 3 | 1 << 5 | 1 << 8, 2002,
                               journal.SETTLE, "root", "closed"))],
            journal.SCOPES: [(SCOPE, b"\1" * 88 + b"order-2\0\0\0"),
                             (OTHER, b"\1" * 88 + b"cart-2\0\0\0")]})
        wanted = [Record(1, 17, "in", 1, 1000 * MS - 5),
                  Record(300, "\u00e9ve", "out", 0, 1002 * MS - 5),
                  Record(70000, 17, "revoked", 1, 2000 * MS - 5, "root"),
                  Record(70001, "\u00e9ve", "void", 0, 2001 * MS - 5),
                  Record(70002, 18, "in", 1, 2001 * MS - 5),
                  Record(70003, 18, "in", 1, 2002 * MS - 5, "root", 0, True)]
        found = journal.read(folder, "order-2", 5)
        if found != wanted:
            wrong.append(f"the journal is read as {found}")
        if len(journal.read(folder)) != 7 or journal.read(folder, "web-2"):
            wrong.append("scopes are mixed up")
        with open(folder + "/data.mdb", "r+b") as f:
            f.write(b"\xa5" * 8192)
        try:
            journal.read(folder)
            wrong.append("a damaged journal is read")
        except journal.Damaged:
            pass


def main():
    wrong = []
    journal_is_read(wrong)
    users = Scope("users", settled=True)
    good(wrong, Story().whole(), users)
    good(wrong, orders(), ORDERS)
    planted(wrong, lambda: Story(per_step=20_000).whole(), users, USER_FAULTS)
    planted(wrong, orders, ORDERS, ORDER_FAULTS)
    for line in wrong:
        print(line)
    count = len(USER_FAULTS) + len(ORDER_FAULTS)
    print(f"{count} faults planted, {len(wrong)} sentences too many or "
          "missing")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
