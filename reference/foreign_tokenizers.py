"""Writes goldens/foreign_tokenizers.json: small folders of tokenizer files as other people have them, and
the token ids that transformers' AutoTokenizer gives for texts, whole and cut at model_max_length.

The file is written with transformers 5. Where it differs from 4, it is followed:
- added tokens of tokenizer.json are not read if tokenizer_config.json has added_tokens_decoder;
- tokens of added_tokens.json are matched in lower-cased text unless tokenizer_config.json names them as
  special, even if special_tokens_map.json does;
- blanks at the end of a line of vocab.txt are no part of the token.

usage: python reference/foreign_tokenizers.py
"""

import json
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

ROOT = Path(__file__).parent.parent
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
OTHER = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
WORDS = (
    "hello world Hello ##s [NAME] na ##me [ ] name é e 中 文 ##文 thank you , ##, [unused0] n ##ame a NA N "
    "##AME x [unused1] ' < > / s"
).split()
TOKENS = SPECIAL + WORDS
TEXTS = [
    "hello [NAME], thank you Hello",
    "HELLO é 中文 [name]x[NAME]'s",
    "zz  [NAME]  hello[MASK] x",
    "thank  you Thank youx thank you",
    "[REL] a [rel]<s></s>",
    "hello world thank you hello world thank you",
    "",
]


def lines(tokens, end="\n"):
    return "".join(token + end for token in tokens)


def token(content, **flags):
    """An added token with all its flags."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"content": content} | plain | flags


def definition(tokens=TOKENS, special=SPECIAL, added=(), lowercase=True, model=None, **fields):
    """A tokenizer.json of WordPiece; `added` are pairs of an id and a token."""
    listed = [(tokens.index(name), token(name)) for name in special] + list(added)
    pad, unknown, cls, sep, mask = special
    framed = [{"SpecialToken": {"id": cls, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    framed.append({"SpecialToken": {"id": sep, "type_id": 0}})
    ids = {name: {"id": name, "ids": [tokens.index(name)], "tokens": [name]} for name in (cls, sep)}
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id} | one for id, one in listed],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
            "strip_accents": None, "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": framed,
            "pair": framed + [{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": ids,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {name: id for id, name in enumerate(tokens)},
        } | (model or {}),
    }
    return file | fields


VOCABULARY = {"vocab.txt": lines(TOKENS)}
DEFINITION = {"tokenizer.json": definition()}
NAMES = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], OTHER))
OTHER_DEFINITION = {"tokenizer.json": definition(OTHER + WORDS, OTHER)}


def config(**fields):
    return {"tokenizer_config.json": fields}


def special(**fields):
    return {"special_tokens_map.json": fields}


def fast(**fields):
    return config(tokenizer_class="PreTrainedTokenizerFast", **fields)


def typed(content, **flags):
    return {"__type": "AddedToken"} | token(content, **flags)


def untyped(content, **flags):
    return {key: value for key, value in token(content, **flags).items() if key != "special"}


FOLDERS = {
    "vocabulary": VOCABULARY,
    "definition": DEFINITION,
    # Special and added tokens.
    "special: additional": VOCABULARY | special(additional_special_tokens=["[NAME]", "[REL]"]),
    "special: extra with flags": VOCABULARY | special(extra_special_tokens=[untyped("[NAME]", lstrip=True)]),
    "special: mask with flags": VOCABULARY | special(mask_token=untyped("[MASK]", lstrip=True, rstrip=True)),
    "special: single word": VOCABULARY | special(mask_token=untyped("[MASK]", single_word=True)),
    "special: a field of its own": VOCABULARY | special(name_token="[NAME]"),
    "special: replaces fields": VOCABULARY | special(model_max_length=5, do_lower_case=False),
    "special: before the config": VOCABULARY | config(do_lower_case=True, mask_token="[UNK]")
    | special(do_lower_case=False, mask_token="[MASK]"),
    "special: empty files": VOCABULARY | special() | {"added_tokens.json": {}},
    "config: additional": VOCABULARY | config(additional_special_tokens=["[NAME]"]),
    "config: additional with flags": VOCABULARY | config(additional_special_tokens=[typed("[NAME]", rstrip=True)]),
    "config: extra before additional": VOCABULARY
    | config(extra_special_tokens=["[NAME]"], additional_special_tokens=["thank"]),
    "config: empty extra": VOCABULARY | config(extra_special_tokens=[], additional_special_tokens=["thank"]),
    "config: null additional": VOCABULARY | config(additional_special_tokens=None),
    "config: extra by name": VOCABULARY | config(extra_special_tokens={"name_token": "[NAME]"}),
    "config: extra by name beside the map": VOCABULARY
    | config(extra_special_tokens={"name_token": "[NAME]"}) | special(additional_special_tokens=["thank"]),
    "config: extra without a name beside the map": VOCABULARY
    | config(extra_special_tokens={}) | special(additional_special_tokens=["[NAME]"]),
    "special: extra by name": VOCABULARY
    | special(extra_special_tokens={"name_token": "[NAME]"}, additional_special_tokens=["thank"]),
    "special: extra by name, config: additional": VOCABULARY
    | special(extra_special_tokens={"name_token": "[NAME]"}) | config(additional_special_tokens=["thank"]),
    "special: a name that the config has too": VOCABULARY
    | special(name_token="[NAME]") | config(name_token="thank"),
    "config: a field of its own": VOCABULARY | config(name_token=typed("[NAME]")),
    "config: before special": VOCABULARY
    | config(additional_special_tokens=["[NAME]"]) | special(additional_special_tokens=["thank"]),
    "config: a null mask": VOCABULARY | config(mask_token=None),
    "config: cls is a word": VOCABULARY | config(cls_token="[NAME]"),
    "added: plain": VOCABULARY | {"added_tokens.json": {"[NAME]": 9, "[REL]": len(TOKENS)}},
    "added: special in the map": VOCABULARY | special(additional_special_tokens=["[NAME]", "[REL]"])
    | {"added_tokens.json": {"[NAME]": 9, "[REL]": len(TOKENS)}},
    "added: special in the config": VOCABULARY | config(additional_special_tokens=["[NAME]", "[REL]"])
    | {"added_tokens.json": {"[NAME]": 9, "[REL]": len(TOKENS)}},
    "added: named": VOCABULARY | {"added_tokens.json": {"[MASK]": 4}},
    "decoder": VOCABULARY | config(added_tokens_decoder={"9": token("[NAME]", lstrip=True)}),
    "decoder: new": VOCABULARY | config(added_tokens_decoder={str(len(TOKENS)): token("[REL]")}),
    "decoder: all that counts": VOCABULARY | config(added_tokens_decoder={"9": token("[NAME]")})
    | special(additional_special_tokens=["thank"]) | {"added_tokens.json": {"world": 6}},
    "decoder: normalized phrase": VOCABULARY | config(
        added_tokens_decoder={
            str(len(TOKENS)): token("thank you", normalized=True, special=False, single_word=True)
        }
    ),
    "decoder: not the definition's": {"tokenizer.json": definition(added=[(9, token("[NAME]"))])}
    | config(added_tokens_decoder={"0": token("[PAD]")}),
    "definition: added": {"tokenizer.json": definition(added=[(9, token("[NAME]")), (len(TOKENS), token("[REL]"))])},
    "definition: flags": {"tokenizer.json": definition(added=[(9, token("[NAME]", lstrip=True, rstrip=True))])},
    "definition: no special of the vocabulary": {"vocab.txt": lines(TOKENS[:7])} | DEFINITION,
    # Classes.
    **{
        f"class: {name}": {"tokenizer.json": definition(lowercase=False)} | config(tokenizer_class=name)
        for name in [
            "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast",
            "ElectraTokenizer", "ElectraTokenizerFast", "MobileBertTokenizer", "SqueezeBertTokenizer",
            "LayoutLMTokenizer", "LxmertTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend",
        ]
    },
    "class: of the model": {"tokenizer.json": definition(lowercase=False)}
    | {"config.json": {"model_type": "bert", "tokenizer_class": "PreTrainedTokenizerFast"}},
    "class: of the tokenizer first": VOCABULARY | config(tokenizer_class="BertTokenizer")
    | {"config.json": {"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"}},
    "file: added by the config": DEFINITION | fast(
        added_tokens_decoder={"9": token("[NAME]", lstrip=True, normalized=True)}
    ),
    "file: flags replaced": {"tokenizer.json": definition(added=[(9, token("[NAME]"))])}
    | fast(added_tokens_decoder={"9": token("[NAME]", rstrip=True)}),
    "file: a plain token made a normalized one": {"tokenizer.json": definition(added=[(9, token("[NAME]"))])}
    | fast(added_tokens_decoder={"9": token("[NAME]", normalized=True)}),
    "file: names": DEFINITION | fast(mask_token="[NAME]"),
    "file: a short word": {"tokenizer.json": definition(model={"max_input_chars_per_word": 4})} | fast(),
    "bert: a short word": {"tokenizer.json": definition(model={"max_input_chars_per_word": 4})},
    "file: other steps": {
        "tokenizer.json": definition(normalizer={"type": "Lowercase"}, pre_tokenizer={"type": "Whitespace"})
    } | fast(),
    "bert: other steps": {
        "tokenizer.json": definition(normalizer={"type": "Lowercase"}, pre_tokenizer={"type": "Whitespace"})
    },
    "other names: as a file": OTHER_DEFINITION | fast(),
    "other names: as BERT": OTHER_DEFINITION | config(**NAMES),
    "other names: in the map": OTHER_DEFINITION | special(**NAMES),
    "other names: of a vocabulary": {"vocab.txt": lines(OTHER + WORDS)} | config(**NAMES),
    # Casing.
    "casing: only the definition": {"tokenizer.json": definition(lowercase=False)},
    "casing: only the config": DEFINITION | config(do_lower_case=False),
    "casing: a config without": {"tokenizer.json": definition(lowercase=False)} | config(),
    "casing: a file's own": {"tokenizer.json": definition(lowercase=False)} | fast(do_lower_case=True),
    "casing: accents kept": VOCABULARY | config(strip_accents=False),
    "casing: accents stripped": VOCABULARY | config(strip_accents=True, do_lower_case=False),
    "casing: Chinese in words": DEFINITION | config(tokenize_chinese_chars=False),
    # Lines.
    "lines: twice": {"vocab.txt": lines(SPECIAL + ["hello", "world", "hello", "thank"])},
    "lines: twice, and a new token": {"vocab.txt": lines(SPECIAL + ["hello", "world", "hello", "thank"])}
    | special(additional_special_tokens=["[REL]"]),
    "lines: blank": {"vocab.txt": lines(SPECIAL + ["hello", "", "world", "", "thank"])},
    "lines: blank at the end": {"vocab.txt": lines(TOKENS) + "\n\n"},
    "lines: CRLF": {"vocab.txt": lines(TOKENS, "\r\n")},
    "lines: no last newline": {"vocab.txt": lines(TOKENS)[:-1]},
    "lines: trailing blanks": {"vocab.txt": lines(SPECIAL + ["hello ", "world\t", "thank\u3000", "you\u00a0"])},
    "lines: leading blank": {"vocab.txt": lines(SPECIAL + [" hello", "world"])},
    "lines: U+2028": {"vocab.txt": lines(SPECIAL + ["hel\u2028lo", "world"])},
    "lines: a byte order mark": {"vocab.txt": "\ufeff" + lines(["x"] + TOKENS)},
    "lines: no mask": {"vocab.txt": lines(["[UNK]", "[CLS]", "[SEP]", "hello"])},
    # Lengths.
    **{
        f"length: {json.dumps(length)}": VOCABULARY | config(model_max_length=length)
        for length in [None, 1e30, int(1e30), 6, 4, 0]
    },
    "length: max_len": VOCABULARY | config(max_len=6),
    "length: null before max_len": VOCABULARY | config(max_len=6, model_max_length=None),
    "length: a definition's own": {
        "tokenizer.json": definition(
            truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
        )
    } | config(model_max_length=6),
}


def written(folder, files):
    for name, content in ({"config.json": {"model_type": "bert"}} | files).items():
        text = content if isinstance(content, str) else json.dumps(content)
        Path(folder, name).write_bytes(text.encode())


def main():
    cases = []
    for name, files in FOLDERS.items():
        with tempfile.TemporaryDirectory() as folder:
            written(folder, files)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        length = tokenizer.model_max_length
        texts = [
            {
                "text": text,
                "ids": tokenizer(text)["input_ids"],
                "cut": tokenizer(text, truncation=True)["input_ids"],
            }
            for text in TEXTS
        ]
        files = {name: text if isinstance(text, str) else json.dumps(text) for name, text in files.items()}
        limit = length if 0 < length < 1e20 else None
        cases.append({"name": name, "files": files, "max_length": limit, "texts": texts})
    path = ROOT / "goldens" / "foreign_tokenizers.json"
    text = json.dumps(cases, separators=(",", ":"), ensure_ascii=False)
    path.write_text(text.replace('},{"name"', '},\n{"name"') + "\n")
    print(path.name, path.stat().st_size, "bytes,", len(cases), "folders")


main()
