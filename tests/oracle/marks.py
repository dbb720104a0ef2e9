#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""marks.py - was what each unit was told kept, whatever died meanwhile?

Why: a gateway that judges its own marks proves nothing.  This program knows no
hash, no slot and no header of Graylane.  It reads what was answered (by the
backends' own bodies), when which operator called what, and the journal as any
tool reads an LMDB file (tests/oracle/journal.py), and says what does not fit:

  flips      a unit was told "new", and later "old" (in an entity scope: any
             change) without a recorded move that explains it
  doubles    the journal holds IN and OUT of one unit, or two IN of an attempt
  lost       a unit was told what a strict scope keeps, and no journal has it
  late       a unit came in although freeze had returned
  deaf       a unit was told "new" although abort or kill had returned

Moments are CLOCK_MONOTONIC nanoseconds of one host.  Two answers are in an
order only when the first was there before the second was asked; what overlaps
may be told either way.
"""
import bisect
import struct
from typing import NamedTuple

OLD, NEW, REFUSED, FAILED, ODD = range(5)
WORDS = ("old", "new", "refused", "failed", "odd")
SAID = 3  # violations of one kind that are spelt out
CLOCK_NS = 30_000_000  # between a reader's wall clock and ours: its cached
                       # milliseconds, and one step of a busy machine


class Answer(NamedTuple):
    sent: int
    answered: int
    unit: str
    said: int
    via: int = 0    # which path
    stage: int = 0  # which kind of request; the story knows


class Act(NamedTuple):
    """A call of an operator that succeeded."""
    what: str     # freeze thaw abort kill unkill retry stop set-weight ...
    called: int
    returned: int
    inside: frozenset = None  # freeze: units IN in the journal at its return,
    sequence: int = 0         # and the last record that the journal had then


class Record(NamedTuple):
    """A line of the journal."""
    sequence: int
    unit: str
    state: str    # in out revoked void hold
    attempt: int
    at: int       # when it was decided, on our clock
    actor: str = ""
    space: int = 0
    settles: bool = False  # says again what stands, and that it is over


class Scope(NamedTuple):
    name: str
    entity: bool = False
    strict: bool = False
    settled: bool = False  # everything answered must be in the journal by now


# ---- a log of answers ------------------------------------------------------

LINE = struct.Struct("<QQQBBBBI")  # sent answered unit said via stage 0 0


def read_log(path):
    """Answers of an `asker`, in the order in which they were answered."""
    with open(path, "rb") as log:
        while True:
            block = log.read(LINE.size * 65536)
            whole = len(block) - len(block) % LINE.size
            for sent, answered, unit, said, via, stage, _, _ in \
                    LINE.iter_unpack(block[:whole]):
                yield Answer(sent, answered, unit, said, via, stage)
            if len(block) < LINE.size * 65536:
                return


# ---- the journal -----------------------------------------------------------

class History:
    """What the journal says of each unit, in its order."""

    def __init__(self, records):
        self.of = {}
        self.wrong = {}
        self.count = 0
        last, stands = None, {}
        for record in records:
            self.count += 1
            if last is not None and record.sequence <= last:
                self.say("doubles", f"sequence {record.sequence} stands "
                         f"behind {last}")
            last = record.sequence
            where = record.unit, record.space
            if record.settles:
                before = stands.get(where)
                if before is None or (before.state, before.attempt) != \
                        (record.state, record.attempt):
                    self.say("doubles", f"unit {record.unit}: settled as "
                             f"{record.state}, and it is {before}")
                continue  # nobody is told anything else by it
            stands[where] = record
            self.of.setdefault(record.unit, []).append(record)
        for unit, mine in self.of.items():
            self.moves(unit, mine)

    def say(self, kind, sentence):
        self.wrong.setdefault(kind, []).append(sentence)

    def moves(self, unit, mine):
        """The only moves that a unit may make (SEMANTICS 4)."""
        states = {}  # by space
        for record in mine:
            before = states.get(record.space)
            states[record.space] = record
            if before is None or before.state == "void" or \
                    record.state in ("void", "hold"):
                continue
            was, now = before.state, record.state
            if was == "revoked" and now == "in" and \
                    record.attempt > before.attempt:
                continue
            if was == "in" and now == "revoked":
                continue
            if record.actor:  # an audited repair
                continue
            self.say("doubles", f"unit {unit}: {now} (sequence "
                     f"{record.sequence}, attempt {record.attempt}) over "
                     f"{was} (sequence {before.sequence}, attempt "
                     f"{before.attempt})")

    def state(self, unit):
        """How the unit stands at the end; "void" and unheard of: None."""
        mine = self.of.get(unit)
        last = mine[-1].state if mine else None
        return None if last == "void" else last

    def inside(self):
        return frozenset(unit for unit in self.of if self.state(unit) == "in")

    def revoked_since(self, unit, told_new, told_old):
        """Was `told_old` after a recorded revocation, and did nobody hear yet
        that the unit was in again?"""
        mine = self.of.get(unit, ())
        revoked = None
        for number, record in enumerate(mine):
            if record.state == "revoked" and \
                    record.at <= told_old.answered + CLOCK_NS:
                revoked = number
        if revoked is None:
            return False
        again = next((r for r in mine[revoked + 1:] if r.state == "in"), None)
        return again is None or again.at + CLOCK_NS > told_new.answered

    def repaired(self, unit, told_new):
        """Did somebody with a name put an OUT unit in before that answer?"""
        return any(r.state == "in" and r.actor and
                   r.at <= told_new.answered + CLOCK_NS
                   for r in self.of.get(unit, ()))


# ---- what operators did ----------------------------------------------------

OVER = {"abort": ("retry", "undo"), "kill": ("unkill",),
        "stop": ("retry", "undo"), "freeze": ("thaw",)}
FOREVER = 1 << 63


class Windows:
    """Spans in which a verb was in force, from `begins` (sure from `sure`) to
    `ends` (no longer sure from `unsure`)."""

    def __init__(self, acts, *whats):
        self.spans = []
        acts = sorted(acts, key=lambda act: act.called)
        for number, act in enumerate(acts):
            if act.what not in whats:
                continue
            end = next((later for later in acts[number + 1:]
                        if later.what in OVER[act.what]), None)
            self.spans.append((act.called, act.returned,
                               end.called if end else FOREVER,
                               end.returned if end else FOREVER, act))

    def touch(self, answer):
        """Could it have been in force while this was answered?"""
        return any(begins <= answer.answered and answer.sent <= ends
                   for begins, _, _, ends, _ in self.spans)

    def sure(self, answer):
        """The act that was in force all the time from sending to answer."""
        for _, sure, unsure, _, act in self.spans:
            if sure < answer.sent and answer.answered < unsure:
                return act
        return None


# ---- the judgement ---------------------------------------------------------

class Told:
    """What one unit was told, as far as it still matters: answers overlap, so
    the last few of each kind are kept."""
    __slots__ = ("last", "first_new")
    KEEP = 6  # more requests of one unit are never in flight together

    def __init__(self):
        self.last = ((), ())
        self.first_new = FOREVER  # when the first one was sent

    def add(self, answer):
        kept = self.last[answer.said] + (answer,)
        if len(kept) > self.KEEP:
            kept = kept[1:]
        if answer.said == NEW:
            self.last = (self.last[OLD], kept)
            self.first_new = min(self.first_new, answer.sent)
        else:
            self.last = (kept, self.last[NEW])

    def before(self, said, sent):
        """The newest answer `said` that was there before `sent`."""
        for answer in reversed(self.last[said]):
            if answer.answered < sent:
                return answer
        return None


class Judge:
    def __init__(self, scope, acts, history):
        self.scope, self.history = scope, history
        self.wrong = {}
        for kind, sentences in history.wrong.items():
            self.wrong[kind] = list(sentences)
        self.units = {}
        self.baseline = Windows(acts, "abort", "kill", "stop")
        self.frozen = Windows(acts, "freeze")
        self.retries = sorted(act.called for act in acts
                              if act.what in ("retry", "undo"))
        self.counts = [0] * len(WORDS)

    def say(self, kind, answer, sentence):
        self.wrong.setdefault(kind, []).append(
            f"unit {answer.unit}: {sentence} (sent {answer.sent}, answered "
            f"{answer.answered}, path {answer.via})")

    def new_attempt(self, first, second):
        """A new attempt of the release began between the two."""
        at = bisect.bisect_left(self.retries, first.sent)
        return at < len(self.retries) and \
            self.retries[at] <= second.answered

    def old(self, told, answer):
        if self.baseline.touch(answer):
            return  # says nothing of the unit
        earlier = told.before(NEW, answer.sent)
        if earlier is not None and not self.history.revoked_since(
                answer.unit, earlier, answer) and \
                not self.new_attempt(earlier, answer):
            self.say("flips", answer, "new at "
                     f"{earlier.answered} (path {earlier.via}), now old")
        told.add(answer)

    def new(self, told, answer):
        if self.scope.entity:
            earlier = told.before(OLD, answer.sent)
            if earlier is not None and \
                    not self.history.repaired(answer.unit, answer) and \
                    not self.new_attempt(earlier, answer):
                self.say("flips", answer, "old at "
                         f"{earlier.answered} (path {earlier.via}), now new")
        if self.baseline.sure(answer) is not None:
            self.say("deaf", answer, f"new although "
                     f"{self.baseline.sure(answer).what} had returned")
        self.late(told, answer)
        told.add(answer)

    def late(self, told, answer):
        """Came in after freeze had returned.  With the journal of that moment
        whoever is answered after it must be in there; without it, who was
        asked after it and was told nothing before."""
        for _, sure, unsure, _, act in self.frozen.spans:
            if not sure < answer.answered < unsure:
                continue
            if act.inside is not None:
                known = answer.unit in act.inside
            else:
                known = min(answer.sent, told.first_new) <= sure
            if not known:
                self.say("late", answer, "came in after freeze had returned "
                         f"at {sure}")

    def take(self, answer):
        self.counts[answer.said] += 1
        if answer.said > NEW:
            return
        told = self.units.get(answer.unit)
        if told is None:
            told = self.units[answer.unit] = Told()
        if answer.said == NEW:
            self.new(told, answer)
        else:
            self.old(told, answer)

    def durable(self):
        """What was answered, against the journal at the end."""
        for unit, told in self.units.items():
            inside, outside = told.last[NEW], told.last[OLD]
            records = self.history.of.get(unit, ())
            last = records[-1].state if records else None
            if inside and last in ("void", "out"):
                self.say("lost", inside[-1], "was told new, and the journal "
                         f"ends with {last}")
            elif inside and (self.scope.strict or self.scope.settled) and \
                    not any(r.state == "in" for r in records):
                self.say("lost", inside[-1], "was told new, and the journal "
                         f"says {last}")
            elif self.scope.entity and outside and not inside and \
                    last == "in" and not records[-1].actor:
                self.say("flips", outside[-1],
                         "was told old, and the journal says in")
        for _, sure, unsure, _, act in self.frozen.spans:
            if act.inside is not None:
                self.closed(sure, unsure, act.sequence)

    def closed(self, sure, unsure, sequence):
        """What the journal had not when freeze returned, and was not decided
        after the thaw, came in although it was closed."""
        for unit, records in self.history.of.items():
            for record in records:
                if record.state == "in" and not record.actor and \
                        record.sequence > sequence and \
                        record.at < unsure - CLOCK_NS:
                    self.wrong.setdefault("late", []).append(
                        f"unit {unit}: IN became durable (sequence "
                        f"{record.sequence}), frozen since {sure}")


class Verdict(NamedTuple):
    counts: dict     # {"old": n, ...}
    units: int
    violations: dict # {kind: [sentence, ...]}

    def sentences(self):
        for kind, found in sorted(self.violations.items()):
            for sentence in found[:SAID]:
                yield f"{kind}: {sentence}"
            if len(found) > SAID:
                yield f"{kind}: and {len(found) - SAID} more"


def judge(scope, answers, acts=(), journal=None):
    """Judges one scope.  `answers` in the order in which they were answered;
    `journal`: its records, or None: not looked at."""
    history = History(journal or ())
    judging = Judge(scope, list(acts), history)
    for answer in answers:
        judging.take(answer)
    if journal is not None:
        judging.durable()
    return Verdict(dict(zip(WORDS, judging.counts)), len(judging.units),
                   judging.wrong)


def newly_inside(before, after):
    """Units that are IN in the records `after` and were not in `before`: what
    became durable meanwhile."""
    return History(after).inside() - History(before).inside()
