"""What transformers answers with a model folder: labels and scores of texts, as its text-classification pipeline does.

Five departures, each on purpose:

- A text is cut to the model's positions where the tokenizer has no length or a larger one. The pipeline passes on all
  tokens there and fails.
- Several labels without a `problem_type` get a sigmoid each, since the public multi-label models omit it. The pipeline
  takes a softmax.
- Numbers are 32-bit floats, whatever `dtype` says: `--precision` is the user's to choose.
- Tokens with their flags in a list of special_tokens_map.json are read as transformers 4 writes and reads them, without
  `"__type": "AddedToken"`. transformers 5 fails on them.
- Weights that transformers would make up at random, since the folder lacks them, are a refusal.
"""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import warnings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")


def load():
    """Imports transformers, which takes seconds, before processes are forked."""
    import torch
    import transformers

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity(50)
    transformers.logging.disable_progress_bar()
    from transformers import AutoTokenizer, BertForSequenceClassification, BertTokenizer  # noqa: F401


class Refused(Exception):
    """What transformers raises, and what counts as that."""


def tokenizer_of(folder):
    """The tokenizer of a folder, in which tokens of transformers 4 are given their type."""
    from transformers import AutoTokenizer

    name, field = "special_tokens_map.json", "additional_special_tokens"
    fields = None
    with contextlib.suppress(ValueError, OSError):
        fields = json.loads((folder / name).read_text(encoding="utf-8")) if (folder / name).is_file() else None
    tokens = fields.get(field) if isinstance(fields, dict) else None
    if not isinstance(tokens, list) or not any(isinstance(token, dict) and "__type" not in token for token in tokens):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    typed = {"__type": "AddedToken", "special": True}
    fields[field] = [token | typed if isinstance(token, dict) else token for token in tokens]
    with tempfile.TemporaryDirectory() as place:
        for path in folder.iterdir():
            if path.name != name:
                (pathlib.Path(place) / path.name).symlink_to(path.absolute())
        (pathlib.Path(place) / name).write_text(json.dumps(fields), encoding="utf-8")
        return AutoTokenizer.from_pretrained(place, local_files_only=True)


class Oracle:
    """Answers of transformers. Models whose configuration and weights are the same are loaded once."""

    def __init__(self):
        self.models = {}

    def model(self, folder):
        import torch
        from transformers import BertForSequenceClassification

        weights = next((p for p in (folder / "model.safetensors",) if p.is_file()), None)
        key = None
        with contextlib.suppress(OSError):
            same_file = weights and (os.stat(weights).st_ino, os.stat(weights).st_size)
            key = ((folder / "config.json").read_bytes(), same_file)
        if key in self.models:
            return self.models[key]
        model, info = BertForSequenceClassification.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
        for problem in ("missing_keys", "mismatched_keys", "error_msgs"):
            if info.get(problem):
                raise Refused(f"{problem}: {sorted(map(str, info[problem]))[0]}")
        model.eval()
        if len(self.models) < 4:
            self.models[key] = model
        return model

    def answers(self, folder, texts):
        """A list with a dict of scores by label for each text, or a text that says why there is none."""
        import torch
        from transformers import AutoConfig

        folder = pathlib.Path(folder)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "bert":
            raise Refused("another architecture")
        if config.num_hidden_layers > 64:  # transformers makes them all before it misses their weights
            raise Refused("more layers than there are weights")
        tokenizer = tokenizer_of(folder)
        model = self.model(folder)
        config = model.config
        # A length of 0 cuts nothing in transformers.
        length = min(tokenizer.model_max_length, config.max_position_embeddings) or config.max_position_embeddings
        if config.problem_type == "single_label_classification":
            probabilities = lambda logits: logits.softmax(-1)  # noqa: E731
        elif config.problem_type == "regression":
            probabilities = lambda logits: logits  # noqa: E731
        else:
            probabilities = torch.sigmoid
        out = []
        for text in texts:
            try:
                inputs = tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
                with torch.inference_mode():
                    logits = model(**inputs).logits[0].double()
                scores = probabilities(logits).tolist()
                pairs = [[str(config.id2label[i]), score] for i, score in enumerate(scores)]
                # The pipeline's list may name a label twice; a dict cannot.
                out.append(dict(pairs) if len(dict(pairs)) == len(pairs) else "refused: a label stands twice")
            except Exception as error:  # noqa: BLE001
                out.append(f"refused: {first_line(error)}")
        return out

    def ask(self, folder, texts):
        """`answers`, or a text that says why transformers opens no such model."""
        silence = io.StringIO()
        try:
            with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
                return self.answers(folder, texts)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 (a Rust panic is no Exception)
            return f"refused: {first_line(error)}"


def first_line(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


if __name__ == "__main__":
    import sys

    import base

    load()
    print(json.dumps(Oracle().ask(sys.argv[1], base.TEXTS), indent=1))
