"""Inference of TinyBERT's shape over a split: PyTorch and ONNX Runtime, many texts and one.

    python infer.py DEV.tsv [--only "onnxruntime int8"] [--batch-sizes 8,32]

Texts per second count tokenization ("from text"); milliseconds of one text do not ("from ids").
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from common import CORES, encode, has_bf16, quiet, read, tinybert, tokenizer

NAMES = ("pytorch f32", "pytorch bf16", "onnxruntime f32", "onnxruntime int8")
ROUNDS = 3
LATENCY_TEXTS, LATENCY_WARM_UP = 600, 100
# Of the largest logit: what each may differ from PyTorch in f32.
ALLOWED = {"pytorch f32": 0, "pytorch bf16": 0.05, "onnxruntime f32": 1e-3, "onnxruntime int8": 0.3}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="dev.tsv of GoEmotions")
    parser.add_argument("--only", choices=NAMES, help="one runtime and precision; else all")
    parser.add_argument("--batch-sizes", default="8,32", help="texts a batch, between commas")
    return parser.parse_args()


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


def check(name, run, expected, ids):
    """Logits must be PyTorch's in f32 before anything is timed."""
    tokens, mask = next(batches(ids[:32], 32))
    found, plain = run(tokens, mask), expected(tokens, mask)
    difference = np.abs(found - plain).max() / np.abs(plain).max()
    if not difference <= ALLOWED[name]:
        raise SystemExit(f"{name}: logits differ by {difference:.3f} of the largest")


def measure(name, run, ids, tokenizing, sizes):
    for size in sizes:
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
            logits = model(input_ids=torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask)).logits
        return logits.float().numpy()

    return run


def onnx(model, int8):
    """A session over the exported model, its weights quantised where `int8`."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "f32.onnx"
        sample = torch.randint(1000, 2000, (2, 16))
        axes = {0: "batch", 1: "tokens"}
        torch.onnx.export(
            model,
            (sample, torch.ones_like(sample)),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        )
        if int8:
            quantised = Path(folder) / "int8.onnx"
            quantize_dynamic(path, quantised, weight_type=QuantType.QInt8)
            path = quantised
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = CORES
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda tokens, mask: session.run(None, {"input_ids": tokens, "attention_mask": mask})[0]


def main():
    args = arguments()
    quiet()
    sizes = [int(size) for size in args.batch_sizes.split(",")]
    texts, _ = read(args.data)
    wordpiece = tokenizer()
    encode(wordpiece, texts[:32])
    start = time.perf_counter()
    ids = encode(wordpiece, texts)
    tokenizing = time.perf_counter() - start
    model = tinybert().eval()
    plain = pytorch(model, False)
    makers = {
        "pytorch f32": lambda: plain,
        "pytorch bf16": lambda: pytorch(model, True),
        "onnxruntime f32": lambda: onnx(model, False),
        "onnxruntime int8": lambda: onnx(model, True),
    }
    for name in NAMES:
        if args.only in (None, name):
            if name == "pytorch bf16" and not has_bf16():
                print(f"{name}: left out, this CPU does not multiply in bf16")
                continue
            run = makers[name]()
            check(name, run, plain, ids)
            measure(name, run, ids, tokenizing, sizes)


if __name__ == "__main__":
    main()
