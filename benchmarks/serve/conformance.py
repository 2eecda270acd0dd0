"""Asks a running server as huggingface_hub's InferenceClient and as a client of text-embeddings-inference
do, and compares the answers with what transformers computes for the same folder: within 1e-4.

usage: python benchmarks/serve/conformance.py TINYMOOD MODEL_FOLDER

The folder's model must be one that transformers opens (--pooling cls). Needs torch, transformers and
huggingface_hub.
"""

import json
import re
import subprocess
import sys
import urllib.request

import torch
from huggingface_hub import InferenceClient
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

TOLERANCE = 1e-4
TEXTS = [
    "thank you so much, you made my day!",
    "I can't believe [NAME] did that...",
    "who knows",
    "naïve café 😀 你好",
    " spaces  and\ttabs\n",
    "word " * 200,
]


def post(url, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class Compared:
    """Counts what was compared, and how far apart the farthest was."""

    def __init__(self):
        self.scores, self.worst = 0, 0.0

    def same(self, found, expected):
        """Label for label, in the same order unless scores are as good as equal."""
        expected = {one["label"]: one["score"] for one in expected}
        assert {label for label, _ in found} == set(expected), (found, expected)
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True), "not descending"
        for label, score in found:
            self.worst = max(self.worst, abs(score - expected[label]))
            self.scores += 1
            assert abs(score - expected[label]) < TOLERANCE, (label, score, expected[label])


def main(binary, folder):
    command = [binary, "serve", folder, "--port", "0", "--precision", "f32", "--quiet"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+", server.stdout.readline())[0]
        check(url, folder)
    finally:
        server.terminate()
        assert server.wait() == 0


def check(url, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    client = InferenceClient(model=url)

    def theirs(text, **options):
        found = classify(text, truncation=True, **options)
        return found[0] if isinstance(found[0], list) else found

    def pairs(found):
        return [(one["label"], one["score"]) for one in found]

    hugging_face, tei, raw = Compared(), Compared(), Compared()
    for text in TEXTS:
        for function in [None, "sigmoid", "softmax", "none"]:
            found = client.text_classification(text, function_to_apply=function)
            found = [(one.label, one.score) for one in found]
            options = {"function_to_apply": function} if function else {}
            comparison = raw if function == "none" else hugging_face
            comparison.same(found, theirs(text, **options))
        top = client.text_classification(text, top_k=3)
        expected = theirs(text)[:3]
        assert len(top) == 3
        assert all(abs(a.score - b["score"]) < TOLERANCE for a, b in zip(top, expected, strict=True))

        tei.same(pairs(post(f"{url}/predict", {"inputs": text})), theirs(text))
        tei.same(pairs(post(f"{url}/", {"inputs": [text], "truncate": True})), theirs(text))
        logits = post(f"{url}/predict", {"inputs": text, "raw_scores": True})
        raw.same(pairs(logits), theirs(text, function_to_apply="none"))
    batch = post(f"{url}/predict", {"inputs": [[text] for text in TEXTS], "raw_scores": False})
    several = post(f"{url}/", {"inputs": TEXTS, "parameters": {}})
    for text, one, other in zip(TEXTS, batch, several, strict=True):
        tei.same(pairs(one), theirs(text))
        hugging_face.same(pairs(other), theirs(text))
    tokens = post(f"{url}/tokenize", {"inputs": TEXTS})
    for text, found in zip(TEXTS, tokens, strict=True):
        assert [token["id"] for token in found] == tokenizer(text)["input_ids"], text
    emotions = post(f"{url}/v1/emotions", {"texts": TEXTS, "all_scores": True})["results"]
    for text, found in zip(TEXTS, emotions, strict=True):
        tei.same(pairs(found["scores"]), theirs(text))
    for name, one in [("InferenceClient", hugging_face), ("text-embeddings-inference", tei), ("logits", raw)]:
        print(f"{name}: {one.scores} scores, at most {one.worst:.1e} from transformers'")


main(*sys.argv[1:])
