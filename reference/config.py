"""Writes goldens/config.json: what transformers makes of a field in a BERT's config.json: the same logits as
without it ("same"), others ("other"), or an error ("error").

usage: python reference/config.py
"""

import json
import tempfile
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

OUT = Path(__file__).parent.parent / "goldens" / "config.json"
SHAPE = dict(
    vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
    max_position_embeddings=16, type_vocab_size=2, num_labels=3,
)
GONE = "(no such field)"
CASES = [
    {"is_decoder": False}, {"is_decoder": True}, {"add_cross_attention": True},
    {"is_decoder": True, "add_cross_attention": True},
    {"chunk_size_feed_forward": 2}, {"pruned_heads": {}}, {"pruned_heads": {"0": [1]}},
    {"embedding_size": 8}, {"embedding_size": 4}, {"emb_size": 8}, {"cell": {}, "structure": []},
    {"position_embedding_type": "absolute"}, {"position_embedding_type": "relative_key"},
    {"hidden_act": "gelu_python"}, {"hidden_act": "gelu_new"}, {"hidden_act": "gelu_pytorch_tanh"},
    {"hidden_act": "quick_gelu"}, {"hidden_act": "relu"}, {"hidden_act": "silu"}, {"hidden_act": "GELU"},
    {"hidden_act": None}, {"hidden_act": GONE},
    {"rope_theta": 10000.0}, {"rope_scaling": {"type": "linear", "factor": 2.0}},
    {"quantization_config": {"quant_method": "fp8"}}, {"quantization_config": None},
    {"tie_word_embeddings": False}, {"tie_encoder_decoder": True}, {"is_encoder_decoder": True},
    {"use_cache": False}, {"output_hidden_states": True}, {"use_bfloat16": True}, {"torchscript": True},
    {"pooler_type": "first_token_transform", "pooler_fc_size": 768}, {"directionality": "bidi"},
    {"finetuning_task": "x"}, {"auto_map": {"AutoModel": "modeling.Own"}},
    {"layer_norm_eps": None}, {"layer_norm_eps": 1}, {"layer_norm_eps": "1e-12"}, {"layer_norm_eps": 0.5},
    {"max_position_embeddings": None}, {"type_vocab_size": None}, {"hidden_dropout_prob": None},
    {"hidden_size": 8.0}, {"hidden_size": "8"}, {"num_hidden_layers": 2.0}, {"num_attention_heads": True},
    {"vocab_size": None}, {"num_hidden_layers": 1}, {"num_attention_heads": 4},
    {"pad_token_id": None}, {"pad_token_id": 3},
    {"model_type": "albert"}, {"model_type": "roberta"}, {"model_type": "electra"},
    {"model_type": GONE, "architectures": ["RobertaForSequenceClassification"]},
    {"architectures": None}, {"architectures": ["BertModel"]}, {"architectures": ["BertForMultiLabelClassification"]},
]


def main():
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model = BertForSequenceClassification(BertConfig(**SHAPE)).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        model.save_pretrained(folder)
        path = Path(folder) / "config.json"
        plain = json.loads(path.read_text())
        ids = torch.tensor([[2, 5, 7, 11, 13, 3]])

        def logits(fields):
            config = {name: value for name, value in (plain | fields).items() if value != GONE}
            path.write_text(json.dumps(config))
            with torch.no_grad():
                return AutoModelForSequenceClassification.from_pretrained(folder).eval()(ids).logits

        expected = logits({})
        cases = []
        for fields in CASES:
            try:
                found = logits(fields)
                is_same = found.shape == expected.shape and torch.equal(found, expected)
                outcome = "same" if is_same else "other"
            except Exception:  # of many kinds
                outcome = "error"
            fields = {name: {"absent": True} if value == GONE else value for name, value in fields.items()}
            cases.append({"fields": fields, "transformers": outcome})
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    shape = json.dumps(SHAPE | {"model_type": "bert", "hidden_act": "gelu"})
    OUT.write_text(f'{{"config": {shape},\n "cases": [\n{lines}\n]}}\n')


main()
