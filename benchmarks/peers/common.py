"""What both peer benchmarks share: GoEmotions' texts as token ids, and TinyBERT's shape."""

import csv
import logging
import os
import warnings
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification

NUM_LABELS = 28
MAX_LENGTH = 128
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
VOCABULARY = Path(__file__).parents[2] / "assets" / "vocab" / "vocab.txt"

torch.set_num_threads(CORES)


def quiet():
    """Leaves standard output to figures and standard error to failures."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def has_bf16():
    """Whether oneDNN multiplies in bf16 here; elsewhere PyTorch is right, but takes minutes a batch."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def read(path):
    """Texts and label ids of a file in GoEmotions' format."""
    with open(path, encoding="utf8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    return [row[0] for row in rows], [[int(x) for x in row[1].split(",")] for row in rows]


def tokenizer():
    wordpiece = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)
    wordpiece.enable_truncation(MAX_LENGTH)
    return wordpiece


def encode(wordpiece, texts):
    return [encoding.ids for encoding in wordpiece.encode_batch(texts)]


def tinybert():
    """TinyBERT 4L-312D with random weights: speed does not depend on them."""
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=30522,
            hidden_size=312,
            num_hidden_layers=4,
            num_attention_heads=12,
            intermediate_size=1200,
            num_labels=NUM_LABELS,
            problem_type="multi_label_classification",
        )
    )
