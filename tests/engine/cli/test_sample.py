"""`alpha sample` writes with a trained model, to people and to programs."""

import json

import pytest

from engine.cli import main as cli

TEXT = "the cat sat on the mat. " * 40


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where a run called `cat` has been trained a little."""
    home = tmp_path_factory.mktemp("home")
    (home / "cat.txt").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALPHA_HOME", str(home))
        command = ["train", "--data", str(home / "cat.txt"), "--run", "cat"]
        command += ["--tokenizer", "char", "--layers", "1", "--heads", "2"]
        command += ["--dim", "16", "--block", "16", "--batch", "4", "--iters", "40"]
        command += ["--lr", "0.03", "--warmup", "1", "--sample-interval", "0"]
        assert cli.main(command) == 0
    return home


@pytest.fixture
def sample(home, monkeypatch, capsys):
    """Run `alpha sample` on that run: (status, stdout, stderr)."""
    monkeypatch.setenv("ALPHA_HOME", str(home))

    def run(*arguments, which=("--run", "cat")):
        capsys.readouterr()
        status = cli.main(["sample", *which, *arguments])
        return status, *capsys.readouterr()

    return run


def result(sample, *arguments, **which):
    status, out, _ = sample(*arguments, "--json", **which)
    assert status == 0
    return json.loads(out)


def test_the_text_follows_its_prompt_on_stdout(sample):
    status, out, err = sample("--prompt", "the cat", "--max-tokens", "20")
    assert status == 0
    assert out.startswith("the cat")
    assert len(out.strip("\n")) <= len("the cat") + 20
    assert "20 tokens" in err


def test_streamed_or_not_the_text_is_the_same(sample):
    flags = ("--prompt", "the", "--max-tokens", "30", "--seed", "5")
    assert sample(*flags)[1] == sample(*flags, "--no-stream")[1]


def test_json_is_the_only_line_on_stdout(sample, home):
    found = result(sample, "--prompt", "the cat", "--max-tokens", "5", "--seed", "3")
    (text,) = found["samples"]
    assert (found["run"], found["step"], found["seed"]) == ("cat", 40, 3)
    assert found["checkpoint"].endswith("step-00000040")
    assert (text["prompt"], text["tokens"], text["finish"]) == ("the cat", 5, "length")
    assert len(text["text"]) == 5


def test_a_seed_repeats_a_text_and_draws_differ(sample):
    flags = ("--prompt", "the", "--max-tokens", "40", "--count", "2", "--seed", "9")
    first, again = (result(sample, *flags)["samples"] for _ in range(2))
    assert first == again
    assert first[0]["text"] != first[1]["text"]
    assert [text["draw"] for text in first] == [0, 1]


def test_a_checkpoint_is_named_by_its_folder_too(sample, home):
    path = home / "outputs/cat/checkpoints/step-00000040"
    flags = ("--prompt", "on", "--temperature", "0", "--max-tokens", "9")
    by_path = result(sample, *flags, which=("--checkpoint", str(path)))
    assert by_path["samples"] == result(sample, *flags)["samples"]
    assert by_path["run"] == "cat"


def test_one_beam_is_the_best_token_at_every_turn(sample):
    flags = ("--prompt", "the c", "--max-tokens", "10")
    best = result(sample, *flags, "--temperature", "0")["samples"][0]
    beam = result(sample, *flags, "--beam", "1")["samples"][0]
    assert beam == best


def test_stop_texts_end_it(sample):
    flags = ("--prompt", "the c", "--temperature", "0", "--max-tokens", "40")
    free = result(sample, *flags)["samples"][0]["text"]
    stop = free[5:7]
    for extra in ((), ("--beam", "1")):
        cut = result(sample, *flags, "--stop", stop, *extra)["samples"][0]
        assert cut["text"] == free[: free.index(stop)]
        assert cut["finish"] == "stop"


def test_a_text_may_outgrow_the_context_or_end_with_it(sample):
    flags = ("--prompt", "the cat", "--max-tokens", "50")
    assert result(sample, *flags)["samples"][0]["tokens"] == 50
    ended = result(sample, *flags, "--no-slide")["samples"][0]
    assert (ended["tokens"], ended["finish"]) == (10, "context")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--prompt", "Zebra"), "character 'Z'"),
        (("--prompt", ""), "the prompt has no tokens"),
        ((), "--prompt is needed"),
        (("--prompt", "a", "--temperature", "-1"), "temperature = -1.0"),
        (("--prompt", "a", "--max-tokens", "0"), "max_tokens = 0"),
        (("--prompt", "a", "--count", "0"), "count = 0"),
        (("--prompt", "a", "--step", "7"), "--step 7"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_two(sample, flags, message):
    status, out, err = sample(*flags)
    assert (status, out) == (2, "")
    assert err.startswith("alpha: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_unknown_run_is_named(sample):
    status, _, err = sample(which=("--run", "dog"))
    assert status == 2
    assert "dog" in err
