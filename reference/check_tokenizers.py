"""Checks that transformers opens what tinymood writes for other people's tokenizers with the same ids: gives
each folder of goldens/foreign_tokenizers.json to a small model, exports it, and compares AutoTokenizer's ids
of the copy with those of the golden, whole and cut.

usage: python reference/check_tokenizers.py TINYMOOD
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

ROOT = Path(__file__).parent.parent
POSITIONS = 64


def main(binary):
    cases = json.loads((ROOT / "goldens" / "foreign_tokenizers.json").read_text())
    shape = BertConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=POSITIONS, problem_type="multi_label_classification",
        id2label={0: "joy", 1: "love"}, label2id={"joy": 0, "love": 1},
    )
    # transformers itself cannot read this folder: no file says which class its special tokens are of.
    (named,) = [case for case in cases if case["name"] == "other names: as a file"]
    cases.append(named | {"name": "no class", "files": {"tokenizer.json": named["files"]["tokenizer.json"]}})
    base = tempfile.TemporaryDirectory()
    BertForSequenceClassification(shape).save_pretrained(base.name)
    for case in cases:
        with tempfile.TemporaryDirectory() as place:
            folder, copy = Path(place, "model"), Path(place, "copy")
            shutil.copytree(base.name, folder)
            config = json.loads((folder / "config.json").read_text())
            for name, text in case["files"].items():
                (folder / name).write_bytes(text.encode())
            config |= json.loads(case["files"].get("config.json", "{}"))
            (folder / "config.json").write_text(json.dumps(config))
            command = [binary, "export", "--f32", "--model", folder, "--output", copy, "--quiet"]
            subprocess.run(command, check=True)
            tokenizer = AutoTokenizer.from_pretrained(copy)
            limit = min(case["max_length"] or POSITIONS, POSITIONS)
            assert tokenizer.model_max_length == limit, (case["name"], tokenizer.model_max_length)
            for text in case["texts"]:
                found = tokenizer(text["text"])["input_ids"]
                assert found == text["ids"], (case["name"], text, found)
                cut = tokenizer(text["text"], truncation=True)["input_ids"]
                assert cut == text["cut"], (case["name"], text, cut)
    print(f"transformers opens the copies of {len(cases)} foreign tokenizers with the same ids")


main(*sys.argv[1:])
