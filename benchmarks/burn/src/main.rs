//! Burn on the CPU (its Flex backend): training steps and forward passes of TinyBERT's shape, in f32.
//!
//!     cargo run --release -- train TRAIN.tsv [--batch-size 16] [--steps 200] [--dropout 0.1]
//!     cargo run --release -- infer DEV.tsv [--batch-size 32]
//!
//! Flex asks the CPU at run time, so no compiler flags are needed. Burn clips each gradient by its own
//! norm, where PyTorch clips by the norm of all. `burn-cpu`, which compiles kernels through LLVM, is
//! left out: it needs an LLVM of its own, downloaded when it is built.

#[path = "../../bench.rs"]
mod bench;

use anyhow::Result;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::loss::BinaryCrossEntropyLossConfig;
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig,
};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::gelu;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use bench::{
    Arguments, Batch, HIDDEN_SIZE, INTERMEDIATE_SIZE, MAX_POSITIONS, NUM_HEADS, NUM_LABELS,
    NUM_LAYERS, Split, VOCAB_SIZE, run,
};

const LEARNING_RATE: f64 = 2e-5;

#[derive(Module, Debug)]
struct Layer {
    attention: MultiHeadAttention,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    dropout: Dropout,
}

impl Layer {
    fn new(dropout: f64, device: &Device) -> Self {
        let (h, i) = (HIDDEN_SIZE, INTERMEDIATE_SIZE);
        let attention = MultiHeadAttentionConfig::new(h, NUM_HEADS).with_dropout(dropout);
        Self {
            attention: attention.init(device),
            attention_norm: layer_norm(device),
            intermediate: LinearConfig::new(h, i).init(device),
            output: LinearConfig::new(i, h).init(device),
            output_norm: layer_norm(device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    fn forward(&self, x: Tensor<3>, is_padding: Tensor<2, Bool>) -> Tensor<3> {
        let input = MhaInput::self_attn(x.clone()).mask_pad(is_padding);
        let attended = self.dropout.forward(self.attention.forward(input).context);
        let x = self.attention_norm.forward(attended + x);
        let inner = self.output.forward(gelu(self.intermediate.forward(x.clone())));
        self.output_norm.forward(self.dropout.forward(inner) + x)
    }
}

#[derive(Module, Debug)]
struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    pooler: Linear,
    classifier: Linear,
    dropout: Dropout,
}

impl Bert {
    fn new(dropout: f64, device: &Device) -> Self {
        let h = HIDDEN_SIZE;
        Self {
            words: EmbeddingConfig::new(VOCAB_SIZE, h).init(device),
            positions: EmbeddingConfig::new(MAX_POSITIONS, h).init(device),
            types: EmbeddingConfig::new(2, h).init(device),
            norm: layer_norm(device),
            layers: (0..NUM_LAYERS).map(|_| Layer::new(dropout, device)).collect(),
            pooler: LinearConfig::new(h, h).init(device),
            classifier: LinearConfig::new(h, NUM_LABELS).init(device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    fn forward(&self, batch: &Batch, device: &Device) -> Tensor<2> {
        let (b, t) = (batch.texts, batch.width);
        let tokens: Vec<i64> = batch.tokens.iter().map(|&token| i64::from(token)).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [b, t]), device);
        let is_padding = TensorData::new(batch.is_padding.clone(), [b, t]);
        let is_padding = Tensor::<2, Bool>::from_data(is_padding, device);
        let positions = Tensor::<1, Int>::arange(0..t as i64, device).unsqueeze::<2>();
        let embedded = self.words.forward(tokens)
            + self.positions.forward(positions)
            + self.types.forward(Tensor::zeros([1, 1], device));
        let mut x = self.dropout.forward(self.norm.forward(embedded));
        for layer in &self.layers {
            x = layer.forward(x, is_padding.clone());
        }
        let first = x.slice([0..b, 0..1]).reshape([b, HIDDEN_SIZE]);
        self.classifier.forward(self.dropout.forward(self.pooler.forward(first).tanh()))
    }
}

fn layer_norm(device: &Device) -> LayerNorm {
    LayerNormConfig::new(HIDDEN_SIZE).with_epsilon(1e-12).init(device)
}

fn train(split: &Split, arguments: &Arguments) -> Result<()> {
    let dropout = arguments.get("--dropout", 0.1)?;
    let device = Device::flex().autodiff();
    let mut model = Some(Bert::new(dropout, &device));
    let loss_of = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device);
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(0.01)
        .with_epsilon(1e-8)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init();
    split.time_training(&format!("burn f32 group, dropout {dropout}"), arguments, |batch| {
        let before = model.take().expect("each step puts it back");
        let targets = TensorData::new(batch.targets.clone(), [batch.texts, NUM_LABELS]);
        let targets = Tensor::<2>::from_data(targets, &device).int();
        let loss = loss_of.forward(before.forward(batch, &device), targets);
        let gradients = GradientsParams::from_grads(loss.backward(), &before);
        model = Some(optimizer.step(LEARNING_RATE, before, gradients));
        Ok(loss.into_scalar::<f32>())
    })
}

fn infer(split: &Split, arguments: &Arguments) -> Result<()> {
    let device = Device::flex();
    let model = Bert::new(0.0, &device);
    split.time_inference("burn f32", arguments, |batch| {
        let logits = model.forward(batch, &device).into_data();
        logits.try_to_vec::<f32>().map_err(|error| anyhow::anyhow!("{error:?}"))
    })
}

fn main() -> Result<()> {
    run(train, infer)
}
