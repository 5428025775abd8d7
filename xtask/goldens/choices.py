# Goldens of multiple choice: tests/data/choices.jsonl, a suite of `whinchat eval`, and tests/data/choices.json, what lm-evaluation-harness
# (PyPI lm-eval) makes of the same items with transformers and the model in tests/data/tiny.
#
# Needs lm-eval[hf] besides (tests/requirements-harness.txt); without it the script writes nothing.

import json
import os
import pathlib
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", LOGLEVEL="ERROR")

DATA = pathlib.Path(__file__).parents[2] / "tests/data"
# Options of different lengths, so that what counts by character differs from what counts in all; some of more than one byte a character.
ITEMS = [
    ("It sings over the", ["sea", "hill in the morning", "table"], 1),
    ("Two and two are", ["four", "five"], 0),
    ("Birds have", ["wheels", "wings and feathers", "keys"], 1),
    ("Once upon a time there was", ["a bird", "nothing", "an answer to every question"], 0),
    ("In winter it flies to", ["Africa", "the north", "bed"], 0),
    ("Question: what is blue?\nAnswer:", ["the sky", "grass", "a very ripe tomato on a plate"], 0),
    ("Question: what is 7 times 8?\nAnswer:", ["54", "56", "58", "fifty"], 1),
    ("She opened the door and", ["went in", "swam", "the door was green and old and heavy"], 0),
    ("Le merle chante dans la", ["forêt", "cuisinière", "été"], 0),
    ("Straße heißt auf Englisch", ["street", "strait", "Straße"], 0),
    ("Das Gegenteil von groß ist", ["klein", "größer als alles andere", "rot"], 0),
    ("水は", ["冷たい", "赤い", "四角い石でできている"], 0),
    ("def add(a, b):\n    return", ["a + b", "a - b", "None"], 0),
    ("The list is sorted, so", ["search takes few steps", "it is", "no"], 0),
    ("A sentence with space at its end ", ["goes on", "stops", "is a very long one indeed"], 0),
    ("He said: \"", ["I will come\"", "no\"", "maybe tomorrow, if the weather is fine\""], 1),
    ("1, 2, 3, 4,", ["5", "6", "five"], 0),
    ("The capital of France is", ["Paris", "Rome", "a city with many bridges"], 0),
    ("If it rains, the street gets", ["wet", "dry", "wider every year"], 0),
    ("Milk comes from", ["cows", "stones", "the shop at the corner"], 0),
    ("At night one sees", ["stars", "the sun", "less"], 0),
    ("The end of the story was", ["happy", "sad", "not written down by anyone"], 1),
    ("The whinchat is", ["a bird", "two ships"], 0),
]
TASK = """
task: choices
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""


def main():
    try:
        import lm_eval
        import lm_eval.tasks
    except ImportError:
        print("choices: skipped, lm-eval is not there", file=sys.stderr)
        return
    cases = [dict(id=f"choice-{i}", task=("words", "texts")[i % 2], prompt=question, expect=dict(choice=dict(options=options, answer=answer)))
             for i, (question, options, answer) in enumerate(ITEMS)]
    (DATA / "choices.jsonl").write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = folder
        found = evaluated(lm_eval, pathlib.Path(folder))
    samples = sorted(found["samples"]["choices"], key=lambda sample: sample["doc_id"])
    items = [dict(loglikelihoods=[round(answer[0][0], 4) for answer in sample["resps"]], acc=sample["acc"], acc_norm=sample["acc_norm"]) for sample in samples]
    scores = {name: found["results"]["choices"][f"{name},none"] for name in ("acc", "acc_norm")}
    (DATA / "choices.json").write_text(json.dumps(scores | {"items": items}, indent=1) + "\n")


def evaluated(lm_eval, folder):
    data = folder / "items.jsonl"
    data.write_text("".join(json.dumps(dict(question=question, choices=options, answer=answer)) + "\n" for question, options, answer in ITEMS))
    (folder / "choices.yaml").write_text(TASK.format(data=data))
    manager = lm_eval.tasks.TaskManager(include_path=str(folder), include_defaults=False)
    arguments = f"pretrained={DATA / 'tiny'},dtype=float32,max_length=256,add_bos_token=True"
    return lm_eval.simple_evaluate(model="hf", model_args=arguments, tasks=["choices"], task_manager=manager, device="cpu", bootstrap_iters=0,
                                   batch_size=1, log_samples=True)


if __name__ == "__main__":
    main()
