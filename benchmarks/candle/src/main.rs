//! candle on the CPU: training steps and forward passes of TinyBERT's shape, in f32.
//!
//!     cargo run --release -- train TRAIN.tsv [--batch-size 16] [--steps 200] [--dropout 0.1]
//!     cargo run --release -- infer DEV.tsv [--batch-size 32]
//!
//! candle chooses its vector kernels at compile time, so `.cargo/config.toml` beside this package
//! compiles for the very CPU. Missing from candle and from the figures: clipping, a fused AdamW, and
//! gradients of its fast layer norm and softmax, so that training takes the slow ones.

#[path = "../../bench.rs"]
mod bench;

use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{
    AdamW, Dropout, Embedding, LayerNorm, Linear, Module, Optimizer, ParamsAdamW, VarBuilder,
    VarMap, embedding, layer_norm, linear, loss, ops,
};

use bench::{
    Arguments, Batch, HIDDEN_SIZE, INTERMEDIATE_SIZE, MAX_POSITIONS, NUM_HEADS, NUM_LABELS,
    NUM_LAYERS, Split, VOCAB_SIZE, run,
};

const DEVICE: Device = Device::Cpu;
const LAYER_NORM_EPS: f64 = 1e-12;

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Layer {
    fn new(vb: VarBuilder) -> Result<Self> {
        let (h, i) = (HIDDEN_SIZE, INTERMEDIATE_SIZE);
        Ok(Self {
            query: linear(h, h, vb.pp("query"))?,
            key: linear(h, h, vb.pp("key"))?,
            value: linear(h, h, vb.pp("value"))?,
            attention_output: linear(h, h, vb.pp("attention_output"))?,
            attention_norm: layer_norm(h, LAYER_NORM_EPS, vb.pp("attention_norm"))?,
            intermediate: linear(h, i, vb.pp("intermediate"))?,
            output: linear(i, h, vb.pp("output"))?,
            output_norm: layer_norm(h, LAYER_NORM_EPS, vb.pp("output_norm"))?,
        })
    }
}

struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    pooler: Linear,
    classifier: Linear,
    /// None at inference, which takes the kernels without gradients.
    dropout: Option<Dropout>,
}

impl Bert {
    fn new(vb: VarBuilder, dropout: Option<f32>) -> Result<Self> {
        let h = HIDDEN_SIZE;
        Ok(Self {
            words: embedding(VOCAB_SIZE, h, vb.pp("words"))?,
            positions: embedding(MAX_POSITIONS, h, vb.pp("positions"))?,
            types: embedding(2, h, vb.pp("types"))?,
            norm: layer_norm(h, LAYER_NORM_EPS, vb.pp("norm"))?,
            layers: (0..NUM_LAYERS)
                .map(|layer| Layer::new(vb.pp(format!("layers.{layer}"))))
                .collect::<Result<_>>()?,
            pooler: linear(h, h, vb.pp("pooler"))?,
            classifier: linear(h, NUM_LABELS, vb.pp("classifier"))?,
            dropout: dropout.map(Dropout::new),
        })
    }

    fn forward(&self, batch: &Batch) -> candle_core::Result<Tensor> {
        let (b, t) = (batch.texts, batch.width);
        let tokens = Tensor::from_slice(&batch.tokens, (b, t), &DEVICE)?;
        let positions = self.positions.forward(&Tensor::arange(0, t as u32, &DEVICE)?)?;
        let types = self.types.forward(&Tensor::zeros(1, DType::U32, &DEVICE)?)?;
        let masked = batch.is_padding.iter().map(|&padding| if padding { -1e9_f32 } else { 0.0 });
        let mask = Tensor::from_iter(masked, &DEVICE)?.reshape((b, 1, 1, t))?;
        let x = self.words.forward(&tokens)?.broadcast_add(&positions.broadcast_add(&types)?)?;
        let mut x = self.drop(self.normed(&self.norm, &x)?)?;
        for layer in &self.layers {
            let attended =
                self.drop(layer.attention_output.forward(&self.attend(layer, &x, &mask)?)?)?;
            x = self.normed(&layer.attention_norm, &(attended + x)?)?;
            let inner = layer.intermediate.forward(&x)?.gelu_erf()?;
            let inner = self.drop(layer.output.forward(&inner)?)?;
            x = self.normed(&layer.output_norm, &(inner + x)?)?;
        }
        let first = x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
        self.classifier.forward(&self.drop(self.pooler.forward(&first)?.tanh()?)?)
    }

    fn attend(&self, layer: &Layer, x: &Tensor, mask: &Tensor) -> candle_core::Result<Tensor> {
        let (b, t, h) = x.dims3()?;
        let head_size = h / NUM_HEADS;
        let heads = |linear: &Linear| {
            linear.forward(x)?.reshape((b, t, NUM_HEADS, head_size))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (heads(&layer.query)?, heads(&layer.key)?, heads(&layer.value)?);
        let scores = (query.matmul(&key.t()?)? / (head_size as f64).sqrt())?;
        let scores = scores.broadcast_add(mask)?;
        let probabilities = match self.dropout {
            Some(_) => ops::softmax(&scores, D::Minus1)?,
            None => ops::softmax_last_dim(&scores)?,
        };
        let context = self.drop(probabilities)?.matmul(&value)?;
        context.transpose(1, 2)?.contiguous()?.reshape((b, t, h))
    }

    fn normed(&self, norm: &LayerNorm, x: &Tensor) -> candle_core::Result<Tensor> {
        match (&self.dropout, norm.bias()) {
            (Some(_), Some(bias)) => {
                ops::layer_norm_slow(x, norm.weight(), bias, norm.eps() as f32)
            }
            _ => norm.forward(x),
        }
    }

    fn drop(&self, x: Tensor) -> candle_core::Result<Tensor> {
        match &self.dropout {
            Some(dropout) => dropout.forward(&x, true),
            None => Ok(x),
        }
    }
}

fn train(split: &Split, arguments: &Arguments) -> Result<()> {
    let dropout = arguments.get("--dropout", 0.1)?;
    let variables = VarMap::new();
    let model = Bert::new(VarBuilder::from_varmap(&variables, DType::F32, &DEVICE), Some(dropout))?;
    let settings = ParamsAdamW { lr: 2e-5, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(variables.all_vars(), settings)?;
    split.time_training(&format!("candle f32 group, dropout {dropout}"), arguments, |batch| {
        let targets = Tensor::from_slice(&batch.targets, (batch.texts, NUM_LABELS), &DEVICE)?;
        let loss = loss::binary_cross_entropy_with_logit(&model.forward(batch)?, &targets)?;
        optimizer.backward_step(&loss)?;
        Ok(loss.to_scalar()?)
    })
}

fn infer(split: &Split, arguments: &Arguments) -> Result<()> {
    let variables = VarMap::new();
    Bert::new(VarBuilder::from_varmap(&variables, DType::F32, &DEVICE), None)?;
    // The same weights again, as plain tensors: a forward pass then records nothing.
    let variables = variables.data().lock().expect("one thread");
    let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor()));
    let tensors = tensors.collect();
    let model = Bert::new(VarBuilder::from_tensors(tensors, DType::F32, &DEVICE), None)?;
    split.time_inference("candle f32", arguments, |batch| {
        Ok(model.forward(batch)?.flatten_all()?.to_vec1()?)
    })
}

fn main() -> Result<()> {
    run(train, infer)
}
