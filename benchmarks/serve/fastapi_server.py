"""The usual way to serve such a model: FastAPI, a fast tokenizer and ONNX Runtime, one request at a time.

usage: python benchmarks/serve/fastapi_server.py MODEL_FOLDER PORT WORKERS THREADS

Speaks as much of text-embeddings-inference's /predict as load.rs asks: all labels, sigmoid, descending.
The model is exported to ONNX (f32) beside its folder's name in the temporary folder, once.
"""

import json
import os
import pathlib
import sys
import tempfile

import numpy
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer


def exported(folder):
    folder = pathlib.Path(folder).resolve()
    path = pathlib.Path(tempfile.gettempdir()) / ("-".join(folder.parts[1:]) + ".onnx")
    if not path.exists():
        import torch
        from transformers import AutoModelForSequenceClassification

        model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()

        class Logits(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask):
                return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

        sample = torch.randint(1000, 2000, (2, 16))
        axes = {0: "batch", 1: "tokens"}
        torch.onnx.export(
            Logits().eval(),
            (sample, torch.ones_like(sample)),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        )
    return path


class Asked(BaseModel):
    inputs: str


def application():
    folder = pathlib.Path(os.environ["MODEL_FOLDER"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["ORT_THREADS"])
    session = onnxruntime.InferenceSession(str(exported(folder)), options)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(config.get("model_max_length", 128), 512))
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    labels = [labels[str(index)] for index in range(len(labels))]
    app = FastAPI()

    @app.post("/predict")
    def predict(asked: Asked):
        ids = numpy.array([tokenizer.encode(asked.inputs).ids], dtype=numpy.int64)
        feeds = {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
        logits = session.run(None, feeds)[0][0]
        scores = (1 / (1 + numpy.exp(-logits))).tolist()
        found = [{"score": score, "label": label} for score, label in zip(scores, labels)]
        return sorted(found, key=lambda one: -one["score"])

    return app


if __name__ == "__main__":
    folder, port, workers, threads = sys.argv[1:]
    os.environ["MODEL_FOLDER"], os.environ["ORT_THREADS"] = folder, threads
    exported(folder)
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    target = "fastapi_server:application"
    uvicorn.run(target, factory=True, port=int(port), workers=int(workers), log_level="warning")
