"""The undamaged files: a tiny BERT classifier in two layouts, the texts it is asked about, and labelled tables.

The weights are random but large, so that an answer moves by far more than the tolerance when a token, a
position or a label changes. All of it is a function of the seeds here.
"""

import json
import pathlib

LABELS = ["joy", "anger", "fear", "love", "neutral"]

MAX_LENGTH = 40  # model_max_length; the positions go on to 160, past 128, which is the default of many programs
POSITIONS = 160
HIDDEN = 32

TEXTS = [
    "I love you, but I hate this",
    "Thank you so much, you made my day!",
    "Café naïve über São Paulo",
    "CAFÉ ÜBER LOVE Hate",
    "[NAME] is not [RELIGION], says [NAME].",
    "[CLS] love [SEP] hate [MASK] [PAD] [UNK]",
    "你好 love 世界你好",
    "😀 happy day 😀",
    "  two   blanks\tand a tab ",
    "<extra> love <extra>hate",
    "who knows, unaffable loving lovers",
    "x" * 30 + " love " + "y" * 120,
    "the invoice isn't paid (yet): 1,234.50 $",
    "love hate day the so " * 60,
]

WORDS = """i you the a is not and but so this my says made much who knows two tab thank thanks happy sad love hate
loving lovers day days cafe café naive naïve uber über sao são paulo invoice paid yet blanks isn I You The Thank Cafe
Café CAFÉ Love Hate LOVE São Sao Paulo hello joy anger fear neutral""".split()
PIECES = "ing er ers s able aff un d ly é e ve af ion".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ADDITIONAL = ["[NAME]", "[RELIGION]"]
EXTRA = "<extra>"  # not in the vocabulary: an added token


def vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyz"
    letters += letters.upper() + "0123456789" + "éèüãïÉÜ"
    signs = list("!\"#$%&'()*+,-./:;<=>?[]_") + list("你好世界") + ["😀"]
    tokens = ["[PAD]", "[unused0]", "[unused1]", *SPECIAL[1:], *ADDITIONAL, *letters, *signs, *WORDS]
    tokens += ["##" + piece for piece in [*letters, *PIECES]]
    return list(dict.fromkeys(tokens))


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def added(content, special=True):
    flags = {"lstrip": False, "normalized": not special, "rstrip": False, "single_word": False}
    return {"content": content, **flags, "special": special}


def write_model(folder):
    """Writes config.json and model.safetensors as transformers does."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary()) + 1,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
        problem_type="multi_label_classification",
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 1.0 if "embeddings" in name else 1.8 / parameter.shape[-1] ** 0.5
            if "LayerNorm" not in name:
                parameter.normal_(0.0, scale if name.endswith("weight") else 0.3)
    model.save_pretrained(folder)
    path = folder / "config.json"
    written = json.loads(path.read_text())
    # What older versions write too.
    written |= {"position_embedding_type": "absolute", "torch_dtype": written.pop("dtype", "float32")}
    written |= {"gradient_checkpointing": False}
    write_json(path, written)


def write_tokenizer(folder, fast):
    """Writes the files of transformers 4: with tokenizer.json, or the slow layout without it."""
    tokens = vocabulary()
    ids = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.txt").write_text("".join(token + "\n" for token in tokens), encoding="utf-8")
    names = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    config = {
        "clean_up_tokenization_spaces": True,
        "do_basic_tokenize": True,
        "do_lower_case": False,
        "model_max_length": MAX_LENGTH,
        "never_split": None,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
        **names,
    }
    write_json(folder / "special_tokens_map.json", {"additional_special_tokens": ADDITIONAL, **names})
    if not fast:
        write_json(folder / "added_tokens.json", {EXTRA: len(tokens)})
        write_json(folder / "tokenizer_config.json", config)
        return
    all_added = {ids[token]: added(token) for token in [*SPECIAL, *ADDITIONAL]}
    all_added[len(tokens)] = added(EXTRA, special=False)
    decoder = {str(i): token for i, token in sorted(all_added.items())}
    config |= {"added_tokens_decoder": decoder, "additional_special_tokens": ADDITIONAL}
    write_json(folder / "tokenizer_config.json", config)
    frame = [{"SpecialToken": {"id": token, "type_id": 0}} for token in ("[CLS]", "[SEP]")]
    first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    end = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
    frame_ids = {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}
    truncation = {"direction": "Right", "max_length": MAX_LENGTH, "strategy": "LongestFirst", "stride": 0}
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": truncation,
            "padding": None,
            "added_tokens": [{"id": i, **token} for i, token in sorted(all_added.items())],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": False,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [frame[0], first, frame[1]],
                "pair": [frame[0], first, frame[1], second, end],
                "special_tokens": frame_ids,
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": ids,
            },
        },
    )


def write(folder):
    """Writes the layouts `fast` and `slow` and the texts into a folder."""
    folder = pathlib.Path(folder)
    for layout in ("fast", "slow"):
        (folder / layout).mkdir()
        write_tokenizer(folder / layout, fast=layout == "fast")
    write_model(folder / "fast")
    for name in ("config.json", "model.safetensors"):
        (folder / "slow" / name).write_bytes((folder / "fast" / name).read_bytes())
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS]
    (folder / "texts.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
