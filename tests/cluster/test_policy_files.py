"""Files of policies and release sets on the command line: lint, test, apply, promote --set."""
import json

import caisson

from test_promotion import ask, new_pipeline, put_json

GOOD = """pipeline: {name}
stages:
- {{name: dev, repos: "dev/{name}/*", write: open}}
- {{name: test, repos: "test/{name}/*", write: promotion-only, from: dev}}
- name: prod
  repos: "prod/{name}/*"
  write: promotion-only
  from: test
  gates:
  - {{id: size, type: size, maxImage: {size}, mode: {mode}}}
"""


def test_lint_says_what_is_wrong_without_a_server(run, tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(GOOD.format(name="shop", size="1GiB", mode="warn"))
    done = run("policy", "lint", "-f", path)
    assert done.returncode == 0 and "2 warnings" in done.stdout, done
    assert "nobody has to approve" in done.stdout and "stops nothing" in done.stdout, done
    path.write_text(GOOD.format(name="shop", size="1GiB", mode="perhaps"))
    done = run("policy", "lint", "-f", path)
    assert done.returncode == 2 and "stage prod, gate size" in done.stderr, done
    assert run("policy", "lint", "-f", tmp_path / "none").returncode == 64
    assert run("policy", "lint").returncode == 64


def test_a_policy_is_tried_on_what_is_open_and_a_set_is_promoted(cluster, run, tmp_path):
    name = new_pipeline(cluster, [{"id": "4eyes", "type": "approvals", "rules": [{"min": 1}]}])
    for image in ("web", "api"):
        cluster.push_image(1, f"dev/{name}/{image}", "1.0", name + image)
    login = ["--server", cluster.url(2), "--user", cluster.admin[0]]
    env = {"CAISSON_PASSWORD": cluster.admin[1]}
    release = tmp_path / "release.yaml"
    release.write_text(f"pipeline: {name}\nreason: CHG-7\nimages:\n- dev/{name}/web:1.0\n"
                       f"- {{repo: dev/{name}/api, tag: \"1.0\", channels: [stable]}}\n")
    done = run("promote", "--set", release, "--to", "test", "--wait", "30s", "-o", "json", *login,
               env=env)
    assert done.returncode == 0, done
    promotion = json.loads(done.stdout)
    assert promotion["state"] == "committed" and promotion["reason"] == "CHG-7", promotion
    assert sorted(promotion["moved"]) == [f"test/{name}/api:stable", f"test/{name}/web:1.0"]
    both = run("promote", f"dev/{name}/web:1.0", "--set", release, "--to", "test", *login, env=env)
    assert both.returncode == 64, both
    release.write_text("images: []\n")
    assert run("promote", "--set", release, "--to", "test", *login, env=env).returncode == 64
    release.write_text(f"image: [dev/{name}/web:1.0]\n")
    done = run("promote", "--set", release, "--to", "test", *login, env=env)
    assert done.returncode == 64 and "image" in done.stderr, done

    waiting = ask(cluster, 1, name, "test", "prod", "1.0", wait=0)
    assert waiting.status == 202, waiting
    policy = tmp_path / "shop.yaml"
    before = cluster.call(3, f"/api/v1/pipelines/{name}").headers["ETag"]
    for size, verdict in (("1GiB", "ready"), ("1B", "blocked")):
        policy.write_text(GOOD.format(name=name, size=size, mode="enforce"))
        done = run("policy", "test", "-f", policy, "-o", "json", *login, env=env)
        assert done.returncode == 0, done
        tried = json.loads(done.stdout)["open"]
        assert [(one["id"], one["now"], one["then"]) for one in tried] == [
            (waiting.json()["id"], "awaiting_approval", verdict)], tried
        assert run("policy", "test", "-f", policy, *login, env=env).returncode == 0
    assert cluster.call(3, f"/api/v1/pipelines/{name}").headers["ETag"] == before
    policy.write_text(GOOD.format(name=name, size="1GiB", mode="enforce"))
    assert run("policy", "apply", "-f", policy, *login, env=env).returncode == 0
    done = cluster.call(1, f"/api/v1/promotions/{waiting.json()['id']}?wait=30").json()
    assert done["state"] == "committed", done
    assert put_json(cluster, 1, f"/v2/prod/{name}/web/manifests/x", {}).status == 403
    answer = cluster.call(2, f"/v2/prod/{name}/web/manifests/1.0", "HEAD",
                          headers={"Accept": caisson.MANIFEST})
    assert answer.status == 200, answer
