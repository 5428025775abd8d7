# lm-evaluation-harness on `whinchat serve` and on transformers, with the same small model: both must give the same.
#
#     evaluation_harness.py PROGRAM MODEL_FOLDER
#
# Three tasks with data of their own, no network: choices by log-likelihood, the likelihood of texts, and answers that are
# generated, as text and in a chat. Log-likelihoods may differ by what rounding does, everything else is equal.
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", LOGLEVEL="ERROR")

QUESTIONS = [
    ("The whinchat is a", ["small bird", "large ship", "river"], 0),
    ("It sings over the", ["sea", "hill in the morning", "table"], 1),
    ("Two and two are", ["four", "five"], 0),
    ("Birds have", ["wheels", "wings and feathers", "keys"], 1),
    ("Once upon a time there was", ["a bird", "nothing", "an answer to every question"], 0),
    ("In winter it flies to", ["Africa", "the north", "bed"], 0),
]

TASKS = {
    "choices": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list:
  - metric: acc
  - metric: acc_norm
""",
    "likelihood": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}} {{choices[0]}}. {{question}} {{choices[1]}}."
metric_list:
  - metric: word_perplexity
  - metric: bits_per_byte
""",
    "answers": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs:
  until: ["the", "\\n\\n"]
  max_gen_toks: 12
  do_sample: false
metric_list:
  - metric: exact_match
""",
}

# Of a log-likelihood: f32 on both sides, but sums in another order.
TOLERANCE = 1e-3

COMPARED = []


def main(program, model):
    import lm_eval.tasks

    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = folder
        write_tasks(pathlib.Path(folder))
        manager = lm_eval.tasks.TaskManager(include_path=folder, include_defaults=False)
        with Server(program, model) as server:
            common = f"model=default,tokenizer={model},max_length=256,max_retries=1"
            completions = f"{common},base_url={server.url}/v1/completions,add_bos_token=True"
            chats = f"{common},base_url={server.url}/v1/chat/completions"
            own = f"pretrained={model},dtype=float32,max_length=256"
            compare(
                evaluate(manager, list(TASKS), "hf", f"{own},add_bos_token=True"),
                evaluate(manager, list(TASKS), "local-completions", completions),
            )
            # Several prompts in a request, several requests at once.
            compare(
                evaluate(manager, list(TASKS), "hf", f"{own},add_bos_token=True"),
                evaluate(manager, list(TASKS), "local-completions", f"{completions},num_concurrent=3", batch_size=4),
            )
            compare(
                evaluate(manager, ["answers"], "hf", own, apply_chat_template=True),
                evaluate(manager, ["answers"], "local-chat-completions", chats, apply_chat_template=True),
            )
    assert len(COMPARED) > 200, len(COMPARED)
    print(f"ok: {len(COMPARED)} values compared")


def write_tasks(folder):
    data = folder / "questions.jsonl"
    lines = [dict(question=question, choices=choices, answer=answer) for question, choices, answer in QUESTIONS]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, task in TASKS.items():
        where = f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\ntest_split: test\n"
        (folder / f"{name}.yaml").write_text(where + task)


def evaluate(manager, tasks, model, arguments, **options):
    import lm_eval

    options = {"batch_size": 1, **options}
    return lm_eval.simple_evaluate(
        model=model, model_args=arguments, tasks=tasks, task_manager=manager, device="cpu", bootstrap_iters=0,
        log_samples=True, **options,
    )


def compare(wanted, got):
    assert set(wanted["results"]) == set(got["results"])
    for task, scores in wanted["results"].items():
        for name, score in scores.items():
            same(score, got["results"][task][name], f"{task} {name}")
        for ours, theirs in zip(got["samples"][task], wanted["samples"][task], strict=True):
            same(theirs["resps"], ours["resps"], f"{task} {theirs['doc']}")


def same(wanted, got, where):
    COMPARED.append(where)
    if isinstance(wanted, (list, tuple)):
        assert len(wanted) == len(got), f"{where}: {got} is not {wanted}"
        for wanted_one, got_one in zip(wanted, got):
            same(wanted_one, got_one, where)
    elif isinstance(wanted, float):
        near = math.isclose(wanted, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or math.isnan(wanted) and math.isnan(got)
        assert near, f"{where}: {got} is not {wanted}"
    else:
        assert wanted == got, f"{where}: {got!r} is not {wanted!r}"


class Server:
    """`whinchat serve` on a free port."""

    def __init__(self, program, model):
        command = [program, "serve", "--listen", "127.0.0.1:0", "--model", model, "--kv-type", "f32"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        self.url = None
        for line in self.process.stderr:
            found = re.search(r"listening on (http://[0-9.:]+)", line)
            self.url = found.group(1) if found else self.url
            if "is ready" in line:
                return self
        raise RuntimeError("the server ended before it was ready")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=60)


if __name__ == "__main__":
    main(*sys.argv[1:])
