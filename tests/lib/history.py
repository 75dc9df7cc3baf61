"""What clients saw, and whether it can have been so. A history is a list of operations (one JSON
line each in a file): client, seq, op, repo, tag, digest, call and ret (monotonic ns), outcome (ok,
fail, unknown), status, node. A time-out, a reset and a 5xx are unknown: the operation may take
effect at any later time, or never. Standard library only.

    op      digest                        meaning when ok
    put     what was put                  the tag names it
    cas     put; expect: what was there   only if the tag named expect (If-Match)
    delete  None                          the tag is gone
    get     what was shown, None for 404  read"""
import json
import threading
import time

INFINITE = float("inf")


class Recorder:
    """Operations of many threads, kept and, with a path, written as they end."""

    def __init__(self, path=None):
        self.operations = []
        self.lock = threading.Lock()
        self.file = open(path, "w", encoding="utf-8") if path else None  # pylint: disable=R1732

    def begin(self, client, op, **facts):
        return {"client": client, "op": op, "call": time.monotonic_ns(), **facts}

    def end(self, operation, outcome, status=0, **facts):
        operation.update(outcome=outcome, status=status, ret=time.monotonic_ns(), **facts)
        with self.lock:
            operation["seq"] = len(self.operations)
            self.operations.append(operation)
            if self.file:
                self.file.write(json.dumps(operation) + "\n")

    def close(self):
        if self.file:
            self.file.close()


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _registers(operations):
    """{(repo, tag): [operations that say something]}"""
    out = {}
    for one in operations:
        if one["op"] in ("put", "cas", "delete", "get") and one["outcome"] != "fail" and not (
                one["op"] == "get" and one["outcome"] == "unknown"):
            out.setdefault((one["repo"], one["tag"]), []).append(one)
    return out


def _end(one):
    return INFINITE if one["outcome"] == "unknown" else one["ret"]


def _check_zones(name, operations):
    """Each put is of another value, so what a read saw names its put, and the zones of Gibbons and
    Korach decide: two forward zones must not overlap, and no backward zone lies in a forward one."""
    groups = {None: {"write": (-1, -1), "reads": []}}  # Nothing is there before the first put.
    for one in operations:
        if one["op"] == "put":
            if one["digest"] in groups:
                return f"{name}: the harness put {one['digest']} twice"
            groups[one["digest"]] = {"write": (one["call"], _end(one)), "reads": []}
    for one in operations:
        if one["op"] == "get":
            if one["digest"] not in groups:
                return f"{name}: {one} shows what nobody put"
            groups[one["digest"]]["reads"].append(one)
    forward, backward = [], []
    for digest, group in groups.items():
        call, end = group["write"]
        if end == INFINITE and not group["reads"]:
            continue
        for one in group["reads"]:
            if one["ret"] < call:
                return f"{name}: {one} shows {digest} before its put began"
        first_end = min([end] + [one["ret"] for one in group["reads"]])
        last_call = max([call] + [one["call"] for one in group["reads"]])
        (forward if first_end < last_call else backward).append(
            (min(first_end, last_call), max(first_end, last_call), digest))
    forward.sort(key=lambda zone: zone[0])
    for before, after in zip(forward, forward[1:]):
        if after[0] < before[1]:
            return f"{name}: {before[2]} and {after[2]} were each shown after the other: {before}, {after}"
    position = 0
    for low, high, digest in sorted(backward, key=lambda zone: zone[0]):
        while position < len(forward) and forward[position][1] < low:
            position += 1
        if position < len(forward) and forward[position][0] < low and high < forward[position][1]:
            return f"{name}: {digest} was put within {forward[position]}, and nothing shows it"
    return None


def _step(one, state):
    """(possible, state after): the register as one operation at a time sees it."""
    if one["op"] == "get":
        return one["digest"] == state, state
    if one["op"] == "cas":
        return one["expect"] == state, one["digest"]
    return True, one["digest"] if one["op"] == "put" else None


def _check_search(name, operations, most=300000):
    """Wing and Gong's search with Lowe's memory, for tags that are deleted or compared and set."""
    shown = {one["digest"] for one in operations if one["op"] == "get"}
    shown |= {one["expect"] for one in operations if one["op"] == "cas"}
    # What nobody saw may as well never have happened.
    rest = [one for one in operations if one["outcome"] == "ok" or one["op"] == "delete" or
            one["digest"] in shown]
    rest.sort(key=lambda one: one["call"])
    required = sum(1 << i for i, one in enumerate(rest) if one["outcome"] == "ok")
    ends = [_end(one) for one in rest]
    stack, known = [(0, None)], {(0, None)}
    while stack:
        done, state = stack.pop()
        if done & required == required:
            return None
        limit = INFINITE
        for i, one in enumerate(rest):
            if one["call"] > limit:
                break
            if done >> i & 1:
                continue
            limit = min(limit, ends[i])
            possible, after = _step(one, state)
            key = (done | 1 << i, after)
            if possible and key not in known:
                known.add(key)
                stack.append(key)
        if len(known) > most:
            return f"{name}: undecided after {most} states of {len(rest)} operations"
    return f"{name}: no order explains its {len(rest)} operations: {rest[:4]} ..."


def check_linearizable(operations):
    """Complaints; none: there is an order of each tag's operations that explains what was seen."""
    found = []
    for name, mine in _registers(operations).items():
        plain = all(one["op"] in ("put", "get") for one in mine)
        complaint = _check_zones(name, mine) if plain else _check_search(name, mine)
        if complaint:
            found.append(complaint)
    return found


def check_set(operations, shown):
    """Jepsen's set-full: what was put and acknowledged is there by digest in the end, and nothing
    that nobody put. shown: {repo: set of digests} at one node."""
    found = []
    for repo, there in shown.items():
        puts = [one for one in operations if one.get("repo") == repo and
                one["op"] in ("put", "cas")]
        acknowledged = {one["digest"] for one in puts if one["outcome"] == "ok"}
        tried = {one["digest"] for one in puts}
        found += [f"{repo}: {digest} was acknowledged and is lost"
                  for digest in sorted(acknowledged - there)]
        found += [f"{repo}: {digest} is there and nobody put it"
                  for digest in sorted(there - tried)]
    return found


def check_once(operations):
    """Promotions asked again under their key: one id per key, one revision per id."""
    ids, found = {}, []
    for one in operations:
        if one["op"] == "promote" and one["outcome"] == "ok":
            seen = ids.setdefault(one["key"], (one["id"], one["revision"]))
            if seen != (one["id"], one["revision"]):
                found.append(f"key {one['key']}: {seen} and {(one['id'], one['revision'])}")
    revisions = [pair[1] for pair in ids.values()]
    if len(revisions) != len(set(revisions)):
        found.append(f"two promotions have one revision: {sorted(ids.values())}")
    return found


def longest_gap(operations, kinds=("put",)):
    """Seconds without an acknowledged operation of these kinds, between the first and the last."""
    ends = sorted(one["ret"] for one in operations
                  if one["op"] in kinds and one["outcome"] == "ok")
    return max((b - a for a, b in zip(ends, ends[1:])), default=0) / 1e9
