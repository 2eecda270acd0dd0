"""Writes goldens/heads/: a tiny BERT classifier with three labels, and heads.json: what
transformers' pipeline answers when config.json names the problem or the labels in various ways, or
that it refuses.

usage: python reference/heads.py
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer, pipeline

FOLDER = Path(__file__).parent.parent / "goldens" / "heads"
WORDS = (
    "a and angry at bad calm day dog friend glad good happy hate he her i in is it joy lake lost "
    "love me my no not of old on rain sad she so song still that the they this to train very we "
    "what with you yes ! ? . ,"
).split()
TEXTS = ["i love this song !", "they lost my train", "the lake is so still .", "no"]
NAMES = {"0": "joy", "1": "anger", "2": "calm"}
MULTI, SINGLE = "multi_label_classification", "single_label_classification"
CASES = {
    "multi-label": {"problem_type": MULTI, "id2label": NAMES},
    "single-label": {"problem_type": SINGLE, "id2label": NAMES},
    "placeholders": {"problem_type": SINGLE, "num_labels": 3},
    "permuted": {
        "problem_type": MULTI,
        "id2label": {"0": "LABEL_2", "1": "LABEL_0", "2": "LABEL_1"},
    },
    "begins with LABEL_": {
        "problem_type": MULTI,
        "id2label": {"2": "LABEL_calm", "0": "LABEL_joy", "1": "LABEL_anger"},
    },
    "ids as int takes them": {
        "problem_type": SINGLE,
        "id2label": {"00": "joy", "+1": "anger", "02": "calm"},
    },
    "numbers": {"problem_type": MULTI, "id2label": {"0": 0, "1": 1, "2": 2}},
    "label2id of another order": {
        "problem_type": SINGLE,
        "id2label": NAMES,
        "label2id": {"calm": 0, "joy": 1, "anger": 2},
    },
    # Public multi-label models leave problem_type out; the pipeline then has to be told.
    "no problem_type, sigmoid asked for": {"id2label": NAMES},
    "gap": {"problem_type": MULTI, "id2label": {"0": "joy", "1": "anger", "3": "calm"}},
    "no number": {"problem_type": MULTI, "id2label": {"0": "joy", "1": "anger", "x": "calm"}},
    "list": {"problem_type": MULTI, "id2label": ["joy", "anger", "calm"]},
    "two of three": {"problem_type": MULTI, "id2label": {"0": "joy", "1": "anger"}},
}


def make_model():
    torch.manual_seed(4)
    FOLDER.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (FOLDER / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
        initializer_range=0.3,
        num_labels=3,
    )
    model = BertForSequenceClassification(config).eval()
    model.classifier.weight.data *= 3
    model.save_pretrained(FOLDER)
    (FOLDER / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 16}) + "\n"
    )
    saved = json.loads((FOLDER / "config.json").read_text())
    for field in ("id2label", "label2id", "problem_type", "transformers_version"):
        saved.pop(field, None)
    (FOLDER / "config.json").write_text(json.dumps(saved, indent=2) + "\n")
    return saved


def answers(folder, case):
    tokenizer = BertTokenizer.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder)
    classifier = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    arguments = {} if "problem_type" in case else {"function_to_apply": "sigmoid"}
    found = classifier(TEXTS, top_k=None, **arguments)
    return [[[str(one["label"]), round(one["score"], 7)] for one in text] for text in found]


def main():
    saved = make_model()
    cases = []
    for name, fields in CASES.items():
        with tempfile.TemporaryDirectory() as place:
            shutil.copytree(FOLDER, place, dirs_exist_ok=True)
            config = json.dumps({**saved, **fields})
            (Path(place) / "config.json").write_text(config)
            try:
                said = {"answers": answers(place, fields)}
            except Exception as error:
                said = {"refused": type(error).__name__}
        cases.append({"name": name, "config": fields, **said})
        print(name, said.get("refused") or said["answers"][0])
    document = {"transformers": transformers.__version__, "texts": TEXTS, "cases": cases}
    (FOLDER / "heads.json").write_text(json.dumps(document, indent=1) + "\n")


main()
