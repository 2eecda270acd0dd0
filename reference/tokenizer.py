"""Writes goldens/tokenizer.json: token ids of transformers' BertTokenizerFast over the bundled
vocabulary, for texts that are hard on tokenizers, whole and cut to 16 tokens.

usage: python reference/tokenizer.py
"""

import json
import shutil
import tempfile
from pathlib import Path

from transformers import BertTokenizerFast

ROOT = Path(__file__).parent.parent
TEXTS = [
    "", " ", "\t \n", "a", "Hello, world!", "HELLO WORLD", "hello   world", " leading and trailing ",
    "don't can't won't it's", "rock'n'roll", "e-mail co-operate", "3.14159 1,000,000 50% $9.99 #1",
    "2021-12-31T23:59:59Z", "user@example.org http://example.org/a?b=c&d=e", "C++ C# .NET a/b\\c",
    "wow!!!!!! really????", "...", "…", "—dash–dash-dash", "“curly” ‘quotes’", "\"straight\" 'quotes'",
    "[NAME] and [RELIGION]", "[name]", "[ NAME ]", "[CLS] hello [SEP]", "[MASK]", "[UNK]", "[PAD]", "[SEP][SEP]",
    "hello[SEP]world", "[unused0] [unused1]", "##ing ing", "## #", "unaffable unwillingness antidisestablishmentarianism",
    "supercalifragilisticexpialidocious", "x" * 99, "x" * 100, "x" * 101, "x" * 250 + " y", "ab" * 60,
    "naïve café résumé Zürich Ångström", "e\u0301 a\u0308 n\u0303", "İstanbul ıI iİ", "ß ẞ straße STRASSE", "ﬁ ﬂ ﬀ", "Ǆ ǅ ǆ",
    "ΑΒΓ αβγ ς σ", "Привет мир", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "안녕하세요 세계", "안녕",
    "你好世界", "日本語のテキスト", "漢字とkanjiの混合", "中文English混排", "㐀㐁", "𠀀𠀁", "豈更", "ｆｕｌｌ ｗｉｄｔｈ １２３", "①②③ Ⅷ ½",
    "😀", "😀😀😀", "I ❤️ you", "❤", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "ok 👌 fine", "lol😂😂lol", "¯\\_(ツ)_/¯", ":-) :D <3 :'(", "(╯°□°）╯︵ ┻━┻",
    "a\u200bb", "a\u200db", "a\u00adb", "\ufeffhello", "a\u00a0b", "a\u2003b", "a\u2028b\u2029c", "a\u0000b", "a\u0007b\u001bc", "a\ufffdb",
    "tab\there", "line\nbreak", "carriage\r\nreturn", "\u202eright to left\u202c", "a\u0301\u0302\u0303\u0304\u0305", "̈alone",
    "x² y³ H₂O", "™ © ® § ¶", "€ £ ¥ ₹ ₿", "° ± × ÷ ≠ ≤ ∞", "→ ← ⇒", "♥ ♪ ★", "a_b __init__ snake_case", "camelCase PascalCase",
    "<b>bold</b> &amp; &lt;", "{json: [1, 2]}", "$\\alpha^2$", "`code` ~tilde~ ^caret^ |pipe|", "100km/h 5'10\" 7\"",
    "I'm so happy for you! This made my day :)", "WHAT THE HELL IS GOING ON HERE???", "meh. whatever, i guess", "Thanks, that was really helpful.",
    "this is sooooooo gooooood", "ngl tbh imo fr fr", "He said: \"she said, 'no'\".", "a" + "b c " * 100, "word " * 200, "!" * 150, "é" * 120,
    "\u1100\u1161\u11a8", "\u0e33", "\u3042\u3099", "\uff76\uff9e", "ﷺ", "\u2126 \u212b \u212a", "Ⓐ ⓐ", "\U0001d400\U0001d7d8", "\ue000", "\U000e0001", "\ufff9\ufffb", "\u00ff\u0178",
]


def main():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "assets/vocab/vocab.txt", folder)
        Path(folder, "tokenizer_config.json").write_text('{"do_lower_case": true}')
        tokenizer = BertTokenizerFast.from_pretrained(folder)
    assert tokenizer("hello")["input_ids"] == [101, 7592, 102]
    cases = []
    for text in TEXTS:
        whole = tokenizer(text)["input_ids"]
        cut = tokenizer(text, truncation=True, max_length=16)["input_ids"]
        cases.append({"text": text, "ids": whole, "cut": cut})
    path = ROOT / "goldens" / "tokenizer.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size, "bytes,", len(cases), "texts")


main()
