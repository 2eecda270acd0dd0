"""Inference of TinyBERT's shape over a split: PyTorch and ONNX Runtime, many texts and one.

    python infer.py DEV.tsv

Texts per second count tokenization ("from text"); milliseconds of one text do not.
"""

import sys
import tempfile
import time

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from common import encode, read, tinybert, tokenizer

BATCH_SIZES = (8, 32)
ROUNDS = 3
LATENCY_TEXTS, LATENCY_WARM_UP = 600, 100


def batches(ids, size):
    """Token ids and mask of each batch, texts sorted by length."""
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for first in range(0, len(order), size):
        rows = [ids[i] for i in order[first : first + size]]
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(tokens)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = 1
        yield tokens, mask


def measure(name, run, ids, tokenizing):
    for size in BATCH_SIZES:
        for batch, _ in zip(batches(ids, size), range(5)):
            run(*batch)
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for batch in batches(ids, size):
                run(*batch)
            seconds.append(time.perf_counter() - start)
        best = min(seconds)
        print(f"{name}, batch {size}: {len(ids) / (best + tokenizing):.0f} texts/s from text", flush=True)
    times = []
    for row in ids[:LATENCY_TEXTS]:
        tokens = np.array([row])
        mask = np.ones_like(tokens)
        start = time.perf_counter()
        run(tokens, mask)
        times.append(1e3 * (time.perf_counter() - start))
    p50, p99 = np.percentile(times[LATENCY_WARM_UP:], [50, 99])
    print(f"{name}, one text: p50 {p50:.2f} ms, p99 {p99:.2f} ms from ids", flush=True)


def pytorch(model, bf16):
    def run(tokens, mask):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            model(input_ids=torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask))

    return run


def onnx(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda tokens, mask: session.run(None, {"input_ids": tokens, "attention_mask": mask})


def main():
    texts, _ = read(sys.argv[1])
    wordpiece = tokenizer()
    start = time.perf_counter()
    ids = encode(wordpiece, texts)
    tokenizing = time.perf_counter() - start
    model = tinybert().eval()
    measure("pytorch f32", pytorch(model, False), ids, tokenizing)
    measure("pytorch bf16", pytorch(model, True), ids, tokenizing)
    with tempfile.TemporaryDirectory() as folder:
        sample = torch.tensor([ids[0], ids[0]])
        axes = {0: "batch", 1: "tokens"}
        torch.onnx.export(
            model,
            (sample, torch.ones_like(sample)),
            f"{folder}/f32.onnx",
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        )
        quantize_dynamic(f"{folder}/f32.onnx", f"{folder}/int8.onnx", weight_type=QuantType.QInt8)
        measure("onnxruntime f32", onnx(f"{folder}/f32.onnx"), ids, tokenizing)
        measure("onnxruntime int8", onnx(f"{folder}/int8.onnx"), ids, tokenizing)


if __name__ == "__main__":
    main()
