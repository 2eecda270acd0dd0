"""Checks that transformers opens a model folder that tinymood wrote and computes the same. With cls
pooling: no missing or unexpected weights, the same token ids, logits within 1e-4, divided by the temperatures that
thresholds.json may have. With mean pooling: the Python of its model card gives these logits.

usage: python reference/check_transformers.py TINYMOOD MODEL_FOLDER...
"""

import json
import math
import re
import subprocess
from pathlib import Path
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

TEXTS = [
    "thank you so much, you made my day!",
    "I can't believe [NAME] did that...",
    "who knows",
    "naïve café 😀 你好",
    "word " * 200,
]


def by_its_card(folder):
    """Logits of TEXTS by the code of the folder's model card."""
    (code,) = re.findall(r"```python\n(.*?)```", (Path(folder) / "README.md").read_text(), re.DOTALL)
    inputs = 'folder, texts = ".", ["what a lovely day"]'
    assert inputs in code
    names = {"folder": folder, "texts": TEXTS}
    exec(code.replace(inputs, ""), names)
    labels = names["encoder"].config.id2label
    return [{labels[i]: x.item() for i, x in enumerate(row.double())} for row in names["logits"]]


def ours(binary, folder):
    """Probabilities of TEXTS by tinymood."""
    options = ["--precision", "f32", "--json", "--scores", "--quiet"]
    command = [binary, "predict", "--model", folder, *options, *TEXTS]
    return [json.loads(line)["scores"] for line in subprocess.check_output(command).splitlines()]


def check_mean(binary, folder):
    for scores, logits in zip(ours(binary, folder), by_its_card(folder), strict=True):
        assert scores.keys() == logits.keys()
        for label, p in scores.items():
            assert abs(p - 1 / (1 + math.exp(-logits[label]))) < 2e-6, label
    print(f"the model card's Python computes as {folder} does: {len(TEXTS)} texts")


def main(binary, folder):
    if json.loads((Path(folder) / "config.json").read_text())["tinymood"]["pooling"] == "mean":
        return check_mean(binary, folder)
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    problems = {key: value for key, value in info.items() if value}
    assert not problems, problems
    assert model.config.problem_type == "multi_label_classification"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    tuned = json.loads((Path(folder) / "thresholds.json").read_text())
    temperatures = tuned.get("temperatures", dict.fromkeys(model.config.label2id, 1.0))
    worst = 0.0
    for text, scores in zip(TEXTS, ours(binary, folder), strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].double()
        for label, index in model.config.label2id.items():
            p = scores[label]
            logit = logits[index].item() / temperatures[label]
            assert abs(p - 1 / (1 + math.exp(-logit))) < 2e-6, (text, label)
            if 0.02 < p < 0.98:  # elsewhere the six printed decimals say too little of the logit
                worst = max(worst, abs(math.log(p / (1 - p)) - logit))
        if "temperatures" in tuned:
            continue  # the pipeline's probabilities are uncalibrated
        theirs = classify(text, truncation=True)
        theirs = theirs[0] if isinstance(theirs[0], list) else theirs
        assert {entry["label"] for entry in theirs} == set(scores)
        for entry in theirs:
            assert abs(entry["score"] - scores[entry["label"]]) < 1e-5, (text, entry)
    assert worst < 1e-4, worst
    print(f"transformers opens {folder}: {len(TEXTS)} texts, logits within {worst:.1e}")


for folder in sys.argv[2:]:
    main(sys.argv[1], folder)
