# llama.cpp's own tests of its HTTP server, pointed at whinchat: llama_cpp.py LLAMA_CPP WHINCHAT MODEL [--out FILE] [-- PYTEST...].
#
# LLAMA_CPP is a source tree of llama.cpp: its tests are run from there as they are. WHINCHAT is the program, MODEL is
# stories260K.gguf, the model that most of the tests are written for. A server is started for each test with the switches that say
# the same. A test passes, or stands in REASONS with why it cannot; any other failure is an error. Python needs
# tests/suites/requirements.txt.
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import pytest

# Files of tests that are about what whinchat does not have.
OTHER_FILES = {
    "test_compat_gcp.py": "Google's API of predictions",
    "test_ctx_shift.py": "contexts are never shifted",
    "test_infill.py": "/infill; a gap is filled by `suffix` of /v1/completions",
    "test_kv_keep_only_active.py": "slots",
    "test_lora.py": "adapters",
    "test_mcp_servers.py": "tools that a server runs",
    "test_proxy.py": "a proxy for the page",
    "test_router.py": "one process for each model",
    "test_sleep.py": "--sleep-idle-seconds",
    "test_slot_save.py": "slots; sessions are saved by /v1/sessions",
    "test_speculative.py": "a second model that drafts",
    "test_tools_builtin.py": "tools that a server runs",
    "test_vision_api.py": "images",
}

# Paths of llama.cpp that are whinchat's behind /v1.
SHORT = ("/chat/completions", "/completions", "/responses", "/embeddings", "/models", "/messages")

TEMPLATES = ("chatml", "deepseek3", "gemma", "llama2", "llama3", "mistral-v3", "mistral-v7", "phi3", "vicuna", "zephyr")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=pathlib.Path)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, help="where the receipt goes")
    parser.add_argument("pytest", nargs="*", help="further arguments of pytest, such as unit/test_tokenize.py")
    asked = parser.parse_args()
    program, model = asked.program.resolve(), asked.model.resolve()
    out = asked.out and asked.out.resolve()
    tests = asked.tree.resolve() / "tools/server/tests"
    os.chdir(tests)
    sys.path.insert(0, str(tests))
    sys.dont_write_bytecode = True
    ignored = [f"--ignore=unit/{name}" for name in OTHER_FILES]
    outcomes = Outcomes()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        point_at(program, model, pathlib.Path(scratch))
        options = ["-q", "-p", "no:cacheprovider", "--tb=short", "-m", "not slow", *ignored]
        pytest.main([*options, *(asked.pytest or ["unit"])], plugins=[outcomes])
    text = outcomes.receipt(tests, program, time.monotonic() - began)
    if out:
        out.write_text(text)
    print(text)
    sys.exit(1 if outcomes.unexplained() or not outcomes.of("passed") else 0)


def point_at(program, model, scratch):
    """Makes the tests' servers whinchat's."""
    import utils

    process = utils.ServerProcess
    plain_url = process.make_url

    def start(self, timeout_seconds=60):
        self.process = subprocess.Popen(command(self), stdout=sys.stdout, stderr=subprocess.STDOUT)
        utils.server_instances.add(self)
        end = time.monotonic() + timeout_seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, "the server has ended"
            try:
                if utils.requests.get(plain_url(self, "/health"), timeout=5).ok:
                    return
            except utils.requests.ConnectionError:
                time.sleep(0.01)
        raise TimeoutError("the server did not start")

    def command(self):
        slots = self.n_slots or 1
        context = max((self.n_ctx or 512) // slots, 64)
        address = f"{self.server_host.split(',')[0]}:{self.server_port}"
        args = ["serve", "--model", model, "--listen", address, "--context", context, "--max-sequences", slots]
        args += ["--any-model-name", "--threads", 1, "--chat-template", template(self)]
        if self.model_alias:
            args += ["--alias", self.model_alias]
        return [str(arg) for arg in [program, *args]]

    def template(self):
        if self.chat_template_file:
            return pathlib.Path(self.chat_template_file).resolve()
        if self.chat_template in (None, *TEMPLATES):
            return self.chat_template or "chatml"
        file = scratch / "template.jinja"
        file.write_text(self.chat_template)
        return file

    def make_url(self, path, host=None):
        return plain_url(self, "/v1" + path if path.startswith(SHORT) else path, host)

    process.start, process.make_url = start, make_url
    utils.ServerPreset.load_all = staticmethod(lambda: None)


class Outcomes:
    """What became of each test."""

    def __init__(self):
        self.all = {}

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.removeprefix("unit/")
        if report.failed:
            self.all[name] = ("failed", str(report.longrepr).strip().splitlines()[-1][:160])
        elif report.when == "call" or report.skipped:
            self.all.setdefault(name, (report.outcome, ""))

    def of(self, outcome):
        return {name: why for name, (what, why) in self.all.items() if what == outcome}

    def reason(self, name):
        return next((why for pattern, why in REASONS if re.search(pattern, name)), None)

    def unexplained(self):
        return {name: why for name, why in self.of("failed").items() if not self.reason(name)}

    def receipt(self, tests, program, seconds):
        passed, failed, skipped = (self.of(outcome) for outcome in ("passed", "failed", "skipped"))
        version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
        lines = [
            "# llama.cpp's tests of its HTTP server, pointed at whinchat",
            "",
            f"`tests/suites/llama_cpp.py`, {version}, {tests.parents[2].parents[1].name}, in {seconds:.0f} s: {len(passed)} tests pass,"
            f" {len(failed)} ask for what whinchat does otherwise or does not have, {len(skipped)} skip themselves.",
            "",
            "| file | pass | of |",
            "|---|---|---|",
        ]
        counts = collections.Counter(name.split("::")[0] for name in self.all)
        good = collections.Counter(name.split("::")[0] for name in passed)
        lines += [f"| `{name}` | {good[name]} | {count} |" for name, count in sorted(counts.items())]
        lines += ["", "## Why others do not pass", "", "| tests | why |", "|---|---|"]
        by_reason = collections.defaultdict(list)
        for name in failed:
            by_reason[self.reason(name) or f"not known: {failed[name]}"].append(name.split("::", 1)[-1].split("[")[0])
        for why, names in by_reason.items():
            counted = collections.Counter(names)
            shown = ", ".join(f"`{name}`" + (f" × {count}" if count > 1 else "") for name, count in counted.items())
            lines.append(f"| {shown} | {why} |")
        lines += [f"| `{name}` | not run: {why} |" for name, why in OTHER_FILES.items()]
        return "\n".join(lines) + "\n"


# Tests that cannot pass, by their names, and why.
REASONS = [
    (r"test_chat_completion\[|test_(chat_)?completion_with_openai_library|test_correct_api_key|test_(chat_)?completion_stream_with_openai_library|test_responses_with_openai_library|test_responses_stream_with_openai_library",
     "the words that llama.cpp's random numbers give, or a fingerprint that begins with b: whinchat's is its version"),
    (r"test_chat_completion_stream|test_logprobs_stream|timings_per_token|without_tool_call_fast",
     "a first chunk with null: whinchat's has an empty text, as OpenAI's"),
    (r"test_chat_completion_cached_tokens",
     "how many tokens are cached: whinchat shares blocks of 16"),
    (r"test_chat_template|continue_final_message_vllm|test_verbose_debug",
     "`__verbose`, what llama.cpp tells of itself"),
    (r"test_apply_chat_template",
     "a built-in template that whinchat does not have"),
    (r"test_invalid_chat_completion_req",
     "two answers in a row, which whinchat's templates take"),
    (r"test_context_size_exceeded|prompt_too_long",
     "llama.cpp's word for a prompt that is too long: whinchat has OpenAI's, `context_length_exceeded`"),
    (r"return_progress|llama_telemetry|metrics_timings|generation_rate",
     "`timings` and `prompt_progress`, which are llama.cpp's"),
    (r"test_chat_completions_token_count",
     "/chat/completions/input_tokens; /v1/responses/input_tokens counts"),
    (r"vision|with_image|local_media",
     "images; whinchat refuses them with 400"),
    (r"test_anthropic_empty_messages",
     "an answer to no messages; Anthropic refuses it too"),
    (r"test_completion\.py|test_ignore_eos|metrics_prompt_processed|predicted_total|slots_idle|test_server_props|test_server_slots|load_split",
     "/completion, /props and /slots, llama.cpp's own API"),
    (r"test_embedding_mixed_input|content_text_same",
     "empty texts, and texts mixed with tokens in one list, which OpenAI's API does not have"),
    (r"test_embedding_pooling_none",
     "a vector for each token"),
    (r"test_embedding_usage",
     "how many tokens BERT makes of a text; the model here is another"),
    (r"test_rerank",
     "a cross-encoder; whinchat asks a model that chats, and this one does not"),
    (r"test_metrics",
     "llama.cpp's names: whinchat has vLLM's, always, as OpenMetrics"),
    (r"api_key|multiple_addresses",
     "--api-key and --host; how whinchat is asked for keys is another matter"),
    (r"test_cors|cors_proxy",
     "pages of every origin: whinchat lets in those that --allowed-origins names"),
    (r"test_no_ui|static_assets|aliases_and_tags",
     "the page's switches, tags"),
    (r"test_stream",
     "streams that are resumed by /v1/stream; whinchat has `background` of responses"),
    (r"test_reasoning|test_date_inside_prompt",
     "what llama.cpp tells templates unasked (`enable_thinking`, `date_string`): whinchat tells them what the request says, as transformers does"),
]

if __name__ == "__main__":
    main()
