"""Writes goldens/encoder/: what PyTorch computes for a tiny BERT (head size 26) and for the real
all-MiniLM-L6-v2, in float64, stored as float32.

usage: python reference/encoder.py MINILM_FOLDER
"""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

OUT = Path(__file__).parent.parent / "goldens" / "encoder"
torch.set_num_threads(1)
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x):
    x = x.astype(np.uint64)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def derive(key, index):
    index = np.asarray(index, np.uint64)
    with np.errstate(over="ignore"):
        return mix(np.uint64(key) + (index + np.uint64(1)) * np.uint64(GOLDEN))


class Dropout:
    """tinymood's counter-based dropout: a pure function of (seed, step, site, row, element)."""

    def __init__(self, seed, step, first_token, first_text):
        with np.errstate(over="ignore"):
            start = mix(np.asarray(np.uint64(seed) + np.uint64(GOLDEN)))
        self.stream = derive(start, step)
        self.first_token, self.first_text = first_token, first_text

    def factors(self, p, site, rows, width):
        threshold = round(p * 65536)
        row_keys = derive(derive(self.stream, site), np.asarray(rows, np.uint64))
        blocks = np.arange((width + 3) // 4, dtype=np.uint64)
        with np.errstate(over="ignore"):
            words = mix(row_keys[:, None] + (blocks[None] + np.uint64(1)) * np.uint64(GOLDEN))
        parts = np.stack([(words >> np.uint64(16 * i)) & np.uint64(0xFFFF) for i in range(4)], -1)
        bits = parts.reshape(len(row_keys), -1)[:, :width]
        keep = bits >= threshold
        return torch.tensor(np.where(keep, 65536 / (65536 - threshold), 0.0))


def forward(model, ids, lengths, pooling, dropout=None):
    """BERT over packed texts, written out: the hidden states of each layer and the logits."""
    config, bert = model.config, model.bert
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    p_hidden, p_attention = config.hidden_dropout_prob, config.attention_probs_dropout_prob
    p_head = config.classifier_dropout if config.classifier_dropout is not None else p_hidden
    starts = np.cumsum([0] + lengths)
    tokens = np.arange(len(ids))

    def drop(x, p, site, rows):
        return x if dropout is None else x * dropout.factors(p, site, rows, x.shape[-1])

    first = dropout.first_token if dropout else 0
    positions = torch.cat([torch.arange(n) for n in lengths])
    e = bert.embeddings
    x = e.word_embeddings.weight[ids] + e.position_embeddings.weight[positions] + e.token_type_embeddings.weight[0]
    norm = lambda layer, x: F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, config.layer_norm_eps)
    x = drop(norm(e.LayerNorm, x), p_hidden, 0, first + tokens)
    hidden = [x]
    for l, layer in enumerate(bert.encoder.layer):
        a = layer.attention
        q, k, v = a.self.query(x), a.self.key(x), a.self.value(x)
        context = []
        for text, n in enumerate(lengths):
            rows = slice(starts[text], starts[text + 1])
            parts = []
            for h in range(heads):
                columns = slice(h * size, (h + 1) * size)
                scores = q[rows, columns] @ k[rows, columns].T / size**0.5
                weights = drop(scores.softmax(-1), p_attention, 1 + 3 * l, (first + tokens[rows]) * heads + h)
                parts.append(weights @ v[rows, columns])
            context.append(torch.cat(parts, -1))
        attended = drop(a.output.dense(torch.cat(context)), p_hidden, 2 + 3 * l, first + tokens)
        x = norm(a.output.LayerNorm, attended + x)
        fed = layer.output.dense(F.gelu(layer.intermediate.dense(x)))
        x = norm(layer.output.LayerNorm, drop(fed, p_hidden, 3 + 3 * l, first + tokens) + x)
        hidden.append(x)
    if pooling == "cls":
        pooled = torch.tanh(bert.pooler.dense(x[starts[:-1]]))
    else:
        pooled = torch.stack([x[starts[i] : starts[i + 1]].mean(0) for i in range(len(lengths))])
    site = 1 + 3 * config.num_hidden_layers
    rows = (dropout.first_text if dropout else 0) + np.arange(len(lengths))
    return hidden, model.classifier(drop(pooled, p_head, site, rows))


def parameters(model, pooling):
    return {n: p for n, p in model.named_parameters() if pooling == "cls" or "pooler" not in n}


def backward(model, loss, pooling):
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in parameters(model, pooling).items()}


def bce(logits, y, **more):
    return F.binary_cross_entropy_with_logits(logits, y, **more)


def focal(logits, y, gamma=2.0, alpha=None):
    p = logits.sigmoid()
    pt = p * y + (1 - p) * (1 - y)
    loss = F.binary_cross_entropy_with_logits(logits, y, reduction="none") * (1 - pt) ** gamma
    if alpha is not None:
        loss = loss * (alpha * y + (1 - alpha) * (1 - y))
    return loss.mean()


def asymmetric(logits, y, positive=1.0, negative=4.0, clip=0.05):
    p = logits.sigmoid()
    pn = (1 - p + clip).clamp(max=1)
    loss = y * F.logsigmoid(logits) + (1 - y) * pn.log()
    pt = p * y + pn * (1 - y)
    return -(loss * (1 - pt) ** (positive * y + negative * (1 - y))).mean()


def groups(model, pooling, decay, layer_decay=1.0, lr=0.0):
    last = model.config.num_hidden_layers + 1
    out = []
    for name, p in parameters(model, pooling).items():
        depth = 0 if "embeddings" in name else last
        if "encoder.layer." in name:
            depth = int(name.split("encoder.layer.")[1].split(".")[0]) + 1
        plain = name.endswith("bias") or "LayerNorm" in name
        out.append({"params": [p], "weight_decay": 0.0 if plain else decay, "lr": lr * layer_decay ** (last - depth)})
    return out


def train(model, batches, pooling, lr, decay, clip, warmup, layer_decay=1.0, ema=None):
    optimizer = torch.optim.AdamW(groups(model, pooling, decay, layer_decay, lr))
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, len(batches))
    average = {n: p.detach().clone() for n, p in parameters(model, pooling).items()}
    record = {"losses": [], "gradient_norms": [], "factors": []}
    for ids, lengths, y in batches:
        record["factors"].append(schedule.lr_lambdas[0](schedule.last_epoch))
        loss = bce(forward(model, ids, lengths, pooling)[1], y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], clip)
        optimizer.step()
        schedule.step()
        record["losses"].append(loss.item())
        record["gradient_norms"].append(norm.item())
        if ema:
            for n, p in parameters(model, pooling).items():
                average[n] = ema * average[n] + (1 - ema) * p.detach()
    return record, {n: p.detach() for n, p in parameters(model, pooling).items()}, average


def f32(tensors):
    return {name: t.detach().to(torch.float32).contiguous().clone() for name, t in tensors.items()}


def prefixed(prefix, tensors):
    return {f"{prefix}.{name}": t for name, t in tensors.items()}


def rotate(ids, lengths, y, steps, width=3):
    starts = np.cumsum([0] + lengths)
    out = []
    for s in range(steps):
        rows = [(s + i) % len(lengths) for i in range(width)]
        out.append((torch.cat([ids[starts[r] : starts[r + 1]] for r in rows]), [lengths[r] for r in rows], y[rows]))
    return out


def tiny():
    torch.manual_seed(11)
    config = BertConfig(
        vocab_size=120, hidden_size=52, num_hidden_layers=2, num_attention_heads=2, intermediate_size=88,
        max_position_embeddings=40, num_labels=5, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2,
        classifier_dropout=0.3, problem_type="multi_label_classification",
    )
    model = BertForSequenceClassification(config)
    for name, p in model.named_parameters():
        center = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        p.data = center + 0.2 * torch.randn_like(p)
    folder = OUT / "tiny"
    model.save_pretrained(folder)
    model = model.double().eval()
    lengths = [1, 2, 7, 17, 33, 40]
    ids = torch.randint(0, 120, (sum(lengths),))
    y = (torch.rand(6, 5) < 0.4).double()
    y[3] = torch.tensor([0.25, 0.5, 0.75, 0.1, 1.0])
    priors, weights = [0.3, 0.05, 0.4, 0.2, 0.1], [1.0, 2.0, 0.5, 4.0, 1.5]

    # The hand-written forward is the library's.
    for text, n in enumerate(lengths):
        start = sum(lengths[:text])
        library = model(input_ids=ids[start : start + n][None]).logits[0]
        assert (library - forward(model, ids, lengths, "cls")[1][text]).abs().max() < 1e-10

    record = {"token_ids": ids.tolist(), "lengths": lengths, "targets": y.flatten().tolist(),
              "label_priors": priors, "pos_weight": weights, "losses": {}}
    tensors = {}
    for pooling in ("cls", "mean"):
        hidden, logits = forward(model, ids, lengths, pooling)
        loss = bce(logits, y)
        record["losses"][pooling] = loss.item()
        tensors[f"{pooling}.logits"] = logits
        if pooling == "cls":
            tensors |= {f"hidden.{i}": h for i, h in enumerate(hidden)}
        tensors |= prefixed(f"{pooling}.gradient", backward(model, loss, pooling))

    smooth = lambda y: 0.9 * y + 0.1 * torch.tensor(priors).double()
    w = torch.tensor(weights).double()
    objectives = {
        "pos_weight": lambda x, y: bce(x, y, pos_weight=w),
        "focal": lambda x, y: focal(x, y),
        "focal_alpha": lambda x, y: focal(x, y, alpha=0.25),
        "asymmetric": lambda x, y: asymmetric(x, y),
        "smoothing": lambda x, y: bce(x, smooth(y)),
        "smoothing_pos_weight": lambda x, y: bce(x, smooth(y), pos_weight=w),
    }
    for name, objective in objectives.items():
        logits = forward(model, ids, lengths, "cls")[1]
        logits.retain_grad()
        loss = objective(logits, y)
        gradient = backward(model, loss, "cls")
        record["losses"][name] = loss.item()
        tensors[f"{name}.d_logits"] = logits.grad
        tensors[f"{name}.gradient.classifier.weight"] = gradient["classifier.weight"]
    extreme = torch.tensor([[-80.0, -20.0, 0.0, 20.0, 80.0]] * 2).double()
    hard = torch.stack([torch.ones(5), torch.zeros(5)]).double()
    record["extreme"] = {"logits": extreme.flatten().tolist(), "targets": hard.flatten().tolist(), "losses": {}}
    for name, objective in objectives.items():
        x = extreme.clone().requires_grad_()
        loss = objective(x, hard)
        loss.backward()
        assert loss.isfinite() and x.grad.isfinite().all(), name
        record["extreme"]["losses"][name] = loss.item()
        tensors[f"extreme.{name}.d_logits"] = x.grad

    for name, (first_token, first_text) in {"dropout": (0, 0), "dropout_later": (1000, 50)}.items():
        for pooling in ("cls", "mean"):
            dropout = Dropout(12345678901, 7, first_token, first_text)
            _, logits = forward(model, ids, lengths, pooling, dropout)
            loss = bce(logits, y)
            record["losses"][f"{name}.{pooling}"] = loss.item()
            if name == "dropout":
                tensors |= prefixed(f"{name}.{pooling}.gradient", backward(model, loss, pooling))
    batches = rotate(ids, lengths, y, 10)
    run, final, _ = train(copy.deepcopy(model), batches, "cls", 3e-3, 0.05, 0.5, 2)
    record["adamw"] = run
    tensors |= prefixed("adamw.final", final)
    run, final, average = train(copy.deepcopy(model), batches, "mean", 3e-3, 0.05, 0.5, 2, 0.8, 0.9)
    record["adamw_layered"] = run
    tensors |= prefixed("adamw_layered.final", final) | prefixed("adamw_layered.average", average)
    save_file(f32(tensors), folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(record) + "\n")


def minilm(path):
    torch.manual_seed(12)
    model = BertForSequenceClassification.from_pretrained(path, num_labels=28).double().eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.backend_tokenizer.no_padding()
    texts = [
        "I can't believe you did that for me, thank you so much!", "meh", "Why would anyone do this?",
        "The train was late again and nobody told us anything about it, as usual.", "WOW this is amazing 😍",
        "so sorry for your loss", "I miss the old days when we could just sit by the lake and talk until dawn.",
        "ok", "He makes me nervous, to be honest; I would rather wait outside until they have finished the meeting.",
        "Congratulations on the new job!!! You earned it, and we are all proud of you.",
    ]
    encoded = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    lengths, ids = [len(x) for x in encoded], torch.tensor([i for x in encoded for i in x])
    y = (torch.rand(len(texts), 28) < 0.1).double()
    classifier = {"classifier.weight": 0.02 * torch.randn(28, 384), "classifier.bias": 0.02 * torch.randn(28)}
    model.classifier.weight.data = classifier["classifier.weight"].double()
    model.classifier.bias.data = classifier["classifier.bias"].double()
    record = {"texts": texts, "token_ids": ids.tolist(), "lengths": lengths, "targets": y.flatten().tolist()}
    tensors = dict(classifier)
    for pooling in ("cls", "mean"):
        _, logits = forward(model, ids, lengths, pooling)
        loss = bce(logits, y)
        gradients = backward(model, loss, pooling)
        record[pooling] = {"loss": loss.item(), "gradient_norms": {n: g.norm().item() for n, g in gradients.items()}}
        tensors[f"{pooling}.logits"] = logits
        for name, g in gradients.items():
            flat = g.flatten()
            at = [k * len(flat) // 64 for k in range(64)] if len(flat) >= 64 else range(len(flat))
            tensors[f"{pooling}.gradient.{name}"] = flat[list(at)]
    record["adamw"], _, _ = train(model, rotate(ids, lengths, y, 10), "mean", 2e-4, 0.01, 1.0, 2)
    folder = OUT / "minilm"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(f32(tensors), folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(record) + "\n")


OUT.mkdir(parents=True, exist_ok=True)
tiny()
minilm(sys.argv[1])
for path in sorted(OUT.rglob("*")):
    if path.is_file():
        print(path.relative_to(OUT), path.stat().st_size, "bytes")
