"""PyTorch's training steps of TinyBERT's shape, in samples per second.

    python pytorch_train.py TRAIN.tsv [--batch-size 16] [--steps 200]
        [--pad] [--group] [--bf16] [--fused]

Without options: padded to the longest text of the batch, f32, the plain AdamW. Everything is in the
time but tokenization: batching, forward, backward, clipping, AdamW. First one batch is trained on
again and again: its loss must be finite and fall.
"""

import argparse
import math
import random
import time

import torch

from common import MAX_LENGTH, NUM_LABELS, encode, has_bf16, quiet, read, tinybert, tokenizer

WARM_UP = 5
REPEATED = 30


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="train.tsv of GoEmotions")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pad", action="store_true", help=f"pad all texts to {MAX_LENGTH}")
    parser.add_argument("--group", action="store_true", help="batches of texts of like length")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--fused", action="store_true", help="the fused AdamW")
    return parser.parse_args()


def batches(ids, size, group):
    """Indices of each batch, shuffled; by length within 50 batches where grouped."""
    shuffler = random.Random(0)
    order = list(range(len(ids)))
    shuffler.shuffle(order)
    if group:
        span = 50 * size
        spans = (order[i : i + span] for i in range(0, len(order), span))
        order = [i for span in spans for i in sorted(span, key=lambda i: -len(ids[i]))]
    made = [order[i : i + size] for i in range(0, len(order), size)]
    if group:
        shuffler.shuffle(made)
    return made


def collate(batch, ids, labels, pad):
    width = MAX_LENGTH if pad else max(len(ids[i]) for i in batch)
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    targets = torch.zeros(len(batch), NUM_LABELS)
    for row, i in enumerate(batch):
        tokens[row, : len(ids[i])] = torch.tensor(ids[i])
        mask[row, : len(ids[i])] = 1
        targets[row, labels[i]] = 1
    return tokens, mask, targets


def main():
    args = arguments()
    quiet()
    if args.bf16 and not has_bf16():
        raise SystemExit("this CPU does not multiply in bf16")
    texts, labels = read(args.data)
    ids = encode(tokenizer(), texts)
    model = tinybert().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=args.fused)

    def step(batch):
        tokens, mask, targets = collate(batch, ids, labels, args.pad)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            loss = model(input_ids=tokens, attention_mask=mask, labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    plan = batches(ids, args.batch_size, args.group)[: WARM_UP + args.steps]
    losses = [step(plan[0]).item() for _ in range(REPEATED)]
    if not all(map(math.isfinite, losses)) or losses[-1] > 0.95 * losses[0]:
        raise SystemExit(f"the loss of a repeated batch does not fall: {losses}")
    for batch in plan[:WARM_UP]:
        step(batch)
    start = time.perf_counter()
    for batch in plan[WARM_UP:]:
        step(batch)
    seconds = time.perf_counter() - start
    samples = sum(map(len, plan[WARM_UP:]))
    words = [word for word in ("pad", "group", "bf16", "fused") if getattr(args, word)]
    print(f"pytorch {' '.join(words)}, batch {args.batch_size}: {samples / seconds:.1f} samples/s")


if __name__ == "__main__":
    main()
