"""The checker itself: it accepts what can have happened and refuses what cannot."""
import random

import pytest

import history


def op(kind, digest, call, ret, outcome="ok", **more):
    return {"client": 0, "op": kind, "repo": "r", "tag": "t", "digest": digest, "call": call,
            "ret": ret, "outcome": outcome, **more}


LEGAL = {
    "a read while a put is under way sees either": [
        op("put", "a", 1, 2), op("put", "b", 3, 9), op("get", "a", 4, 5), op("get", "b", 6, 7)],
    "an unknown put takes effect late": [
        op("put", "a", 1, 2), op("put", "b", 3, 4, "unknown"), op("get", "a", 5, 6),
        op("get", "b", 7, 8)],
    "an unknown put never does": [
        op("put", "b", 3, 4, "unknown"), op("put", "a", 5, 6), op("get", "a", 7, 8)],
    "nothing before the first": [op("get", None, 0, 1), op("put", "a", 2, 3)],
    "a delete": [op("put", "a", 1, 2), op("delete", None, 3, 4), op("get", None, 5, 6)],
    "compare and set": [op("put", "a", 1, 2), op("cas", "b", 3, 4, expect="a"),
                        op("get", "b", 5, 6)],
    "an unknown delete explains an absence": [
        op("put", "a", 1, 2), op("delete", None, 3, 4, "unknown"), op("get", "a", 5, 6),
        op("get", None, 7, 8)],
}
ILLEGAL = {
    "a lost write": [op("put", "a", 1, 2), op("put", "b", 3, 4), op("get", "a", 5, 6)],
    "a stale read after a new one": [
        op("put", "a", 1, 2), op("put", "b", 3, 9), op("get", "b", 4, 5), op("get", "a", 6, 7)],
    "a write that vanished": [op("put", "a", 1, 2), op("get", None, 3, 4)],
    "a value from nowhere": [op("put", "a", 1, 2), op("get", "x", 3, 4)],
    "a read from the future": [op("get", "a", 1, 2), op("put", "a", 3, 4)],
    "a put within another's zone that nothing shows": [
        op("put", "a", 1, 2), op("put", "b", 3, 4), op("get", "a", 5, 6)],
    "a deleted tag comes back": [
        op("put", "a", 1, 2), op("delete", None, 3, 4), op("get", "a", 5, 6)],
    "two who compared with the same": [
        op("put", "a", 1, 2), op("cas", "b", 3, 4, expect="a"), op("cas", "c", 5, 6, expect="a")],
}


@pytest.mark.parametrize("name", LEGAL)
def test_history__legal(name):
    assert history.check_linearizable(LEGAL[name]) == []


@pytest.mark.parametrize("name", ILLEGAL)
def test_history__illegal(name):
    assert history.check_linearizable(ILLEGAL[name]) != []


def random_run(seed, is_broken):
    """Operations on a real register, each at a moment within its call; broken: one read is stale."""
    dice = random.Random(seed)
    moments = []
    for i in range(60):
        call = dice.randrange(1000)
        moments.append((call + dice.randrange(40), i, call, dice.choice("ppgggdc")))
    state, before, out = None, None, []
    for at, i, call, kind in sorted(moments):
        ret = at + dice.randrange(1, 40)
        if kind == "p":
            before, state = state, f"v{i}"
            out.append(op("put", state, call, ret))
        elif kind == "d" and seed % 2:
            before, state = state, None
            out.append(op("delete", None, call, ret))
        elif kind == "c" and seed % 2:
            out.append(op("cas", f"v{i}", call, ret, expect=state))
            before, state = state, f"v{i}"
        else:
            out.append(op("get", state, call, ret))
    if is_broken:
        out += [op("get", state, 2000, 2001), op("get", before, 2002, 2003)]
    return out, before != state


@pytest.mark.parametrize("seed", range(40))
def test_history__runs_of_a_real_register(seed):
    run, _ = random_run(seed, False)
    assert history.check_linearizable(run) == []
    broken, differs = random_run(seed, True)
    assert not differs or history.check_linearizable(broken) != []


def test_history__sets_and_promotions():
    puts = [op("put", "a", 1, 2), op("put", "b", 1, 2, "unknown"), op("put", "c", 1, 2)]
    assert history.check_set(puts, {"r": {"a", "b", "c"}}) == []
    assert len(history.check_set(puts, {"r": {"a", "x"}})) == 2
    same = [{"op": "promote", "outcome": "ok", "key": "k", "id": "1", "revision": 1}] * 2
    assert history.check_once(same) == []
    assert history.check_once(same + [{**same[0], "id": "2", "revision": 2}]) != []
