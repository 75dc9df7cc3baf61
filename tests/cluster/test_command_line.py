"""What a person types wrong: each gets a sentence, an exit code, and no damage."""
import pathlib
import re
import subprocess

import pytest


def test_help_lists_commands_and_each_has_its_own(run):
    done = run("--help")
    assert done.returncode == 0
    names = [line[2:26].strip() for line in done.stdout.splitlines()
             if line.startswith("  ") and not line.startswith("   ")
             and not line.startswith("  caisson")]
    assert "serve" in names and "cluster init" in names
    for name in names:
        own = run(*name.split(), "--help")
        assert own.returncode == 0 and "Usage: caisson " + name in own.stdout, name
        assert own.stdout == run("help", *name.split()).stdout


def test_the_first_word_of_several_commands_lists_them(run):
    for done in (run("quota", "--help"), run("help", "quota")):
        assert done.returncode == 0 and done.stderr == "", done
        listed = [line[2:26].strip() for line in done.stdout.splitlines()[1:]]
        assert listed == ["quota show", "quota set", "quota delete"], done
    assert run("nonsense", "--help").returncode == 64


def test_the_manual_page_has_every_command_and_reads_well(run):
    page = run("help", "--man")
    assert page.returncode == 0
    names = [line[2:26].strip() for line in run("--help").stdout.splitlines()
             if line.startswith("  ") and not line.startswith("   ")
             and not line.startswith("  caisson")]
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-c"], input=page.stdout, text=True,
                          capture_output=True, timeout=30)
    assert done.returncode == 0 and done.stderr == "", done.stderr[:2000]
    text = re.sub(".\b", "", done.stdout).replace("\u2010", "-").replace("\u2212", "-")
    for name in names:
        assert "caisson " + name in text, name
        assert run(*name.split(), "--help").stdout.splitlines()[2].strip() in text, name


@pytest.mark.parametrize("arguments, words", [
    (["srve"], "caisson serve"),
    (["cluster", "statsu"], "caisson cluster status"),
    (["cluster"], "  cluster init   "),
    (["serve", "--nonsense"], "takes no option --nonsense"),
    (["serve", "--config"], "needs a value"),
    (["serve", "extra"], "no argument 'extra'"),
    (["cluster", "status", "-o", "xml"], "json or table"),
    (["cluster", "status", "--server", "localhost"], "is a URL"),
    (["cluster", "join", "--data-dir", "x", "--name", "y", "--token", "t"], "--peer is needed"),
    (["user", "add", "a b"], "name one user"),
])
def test_a_wrong_command_line_says_what_is_wrong(run, tmp_path, arguments, words):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 64
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nobody_there_is_exit_code_5(run):
    done = run("cluster", "status", "--server", "http://127.0.0.1:1")
    assert done.returncode == 5
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("text, words", [
    ("name: a\nlissten: 127.0.0.1:1\n", ":2: lissten: there is no such key; known here: data_dir"),
    ("data_dir: /nonexistent/caisson\n", ":1: data_dir: directory /nonexistent/caisson"),
    ("open: true\nopen: true\n", ":2: open: is given twice"),
    ("workers: 0\n", ":1: workers: must be from 1"),
    ("tls: [\n", "while parsing"),
])
def test_a_bad_configuration_is_named_by_file_line_and_key(run, tmp_path, text, words):
    path = tmp_path / "caisson.yaml"
    path.write_text(text)
    done = run("serve", "--config", path, cwd=tmp_path)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert words.replace("while parsing", ":") in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["caisson.yaml"]


def test_serve_does_not_start_a_registry_that_it_was_not_asked_for(run, tmp_path):
    (tmp_path / "data").mkdir()
    done = run("serve", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert "no node lives in" in done.stderr
    (tmp_path / "data" / "photos").write_text("x")
    done = run("serve", "--data-dir", tmp_path / "data", "--init")
    assert done.returncode == 1
    assert "photos" in done.stderr
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["photos"]


def test_join_with_a_bad_token_or_no_member_makes_nothing(run, tmp_path):
    place = ["--data-dir", tmp_path / "d", "--name", "n", "--peer", "127.0.0.1:1"]
    done = run("cluster", "join", *place, "--token", "caisson-join-1.abc")
    assert done.returncode != 0 and "mistyped" in done.stderr
    token = "caisson-join-1." + "0" * 32 + "." + "a" * 64 + "." + "b" * 32
    done = run("cluster", "join", *place, "--token", token, "--timeout", "1s")
    assert done.returncode == 5
    assert "127.0.0.1:1" in done.stderr
    assert not pathlib.Path(tmp_path / "d" / "node.json").exists()
