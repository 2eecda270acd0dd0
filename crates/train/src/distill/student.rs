//! A student's tensors before the first step, cut from its teacher's.
//!
//! `P`, (H, h), is an orthonormal [`Basis`] of the directions in which the teacher's hidden states
//! have most energy. The student works in its coordinates: where the teacher has `x`, it has `Pᵀ x`.
//!
//! ```text
//! P = the first h eigenvectors of the second moment of hidden states
//! embeddings              E P
//! norms                   weight: the diagonal of Pᵀ diag(weight) P; bias: Pᵀ bias
//! for each layer, for each head
//!     scores              xᵀ Qᵀ K x: the best product of rank d, times √(d / D)
//!     values and output   O V x: the best product of rank d
//! feed-forward            the i neurons with the largest (root mean square of input) |outgoing|, times P
//! ```
//!
//! 1. A head is cut as a product, since only products reach the next layer: the first `d` rows of `Q`
//!    and of `K` by themselves need not belong together.
//! 2. Biases are one more column, `[W P | b]`, which meets an input of 1.
//! 3. The product is (h + 1, h + 1) but its rank `D`, so all is done in (D, D): after a QR
//!    decomposition of one factor, by the eigenvectors of a Gram matrix. nalgebra's own SVD is wrong for
//!    some matrices, above all those of low rank (its issue 1172), and the squares that the Gram matrix
//!    costs only matter for parts below 1e-8 of the whole.
//! 4. Scores are divided by the root of the head size, hence `√(d / D)`.
//! 5. A norm's weight scales single dimensions, and those of the student are mixtures of the teacher's:
//!    each takes the teacher's weights in the shares of the mixture.
//! 6. What a neuron does depends on what it is given. The root mean square of `w x + b` over hidden
//!    states needs only their first and second moments, which the basis keeps.
//!
//! all-MiniLM-L6-v2 to 4 layers of 312, 512 texts: before training, the squared difference of hidden
//! states after the four layers is 0.172, 0.250, 0.488 and 1.942 of their squares; with the plain mean of
//! norm weights in 5 and the norm of ingoing weights in 6, as first tried, 0.201, 0.341, 0.627 and 2.377.
//! What is left of the gain after training has not been measured.
//!
//! It is a start and not a copy: a layer norm does not commute with `P`, and layers are left out.
//! Training has to mend both. Where no size differs, it is a copy, bit for bit.
//!
//! Upper case is the teacher's, lower case the student's: `H`, `h` hidden sizes, `A`, `a` heads, `D`,
//! `d` head sizes, `I`, `i` intermediate sizes. All arithmetic is in f64, once per distillation.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use tinymood_core::{ModelConfig, Pooling, Tensor, TensorMap};

/// Rows that are brought to f64 at a time.
const CHUNK_ROWS: usize = 1024;

/// QR steps of an eigenvalue problem for each of its dimensions, until it is given up. A few are usual.
const STEPS_PER_DIMENSION: usize = 64;

/// Why there is no student.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StudentError {
    /// A size of the student that its teacher cannot give.
    #[error("the student's {what} is {student}, the teacher's {teacher}: it must be {rule}")]
    Size {
        /// The field of [`ModelConfig`].
        what: &'static str,
        /// The student's.
        student: usize,
        /// The teacher's.
        teacher: usize,
        /// What is possible.
        rule: &'static str,
    },
    /// A configuration whose heads do not share its hidden size evenly.
    #[error("the {who}'s {heads} heads do not divide its hidden size {hidden}")]
    Heads {
        /// Student or teacher.
        who: &'static str,
        /// `num_attention_heads`.
        heads: usize,
        /// `hidden_size`.
        hidden: usize,
    },
    /// A basis between other hidden sizes.
    #[error("the basis leads from {} to {} dimensions, expected {} to {}", found.0, found.1, expected.0, expected.1)]
    Basis {
        /// The basis's teacher and student.
        found: (usize, usize),
        /// Those of the configurations.
        expected: (usize, usize),
    },
    /// Not one teacher layer for each layer of the student.
    #[error("{found} teacher layers are named for the student's {expected}")]
    LayerCount {
        /// Layers named.
        found: usize,
        /// Layers of the student.
        expected: usize,
    },
    /// A layer that the teacher does not have.
    #[error("there is no teacher layer {layer}: it has {layers}, the first is 0")]
    Layer {
        /// The layer named.
        layer: usize,
        /// Layers of the teacher.
        layers: usize,
    },
    /// A tensor that the teacher must have.
    #[error("the teacher lacks the tensor {0:?}")]
    Missing(String),
    /// A tensor that does not have the shape of the teacher's configuration.
    #[error("the teacher's tensor {name:?} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The configuration's.
        expected: Vec<usize>,
    },
    /// Values that are no finite numbers.
    #[error("{0} holds values that are not finite")]
    NotFinite(String),
    /// A second moment of nothing, or of zeros.
    #[error("there are no hidden states to make a basis of")]
    NoStates,
    /// Values that are not whole rows.
    #[error("{found} values are no rows of {width}")]
    Rows {
        /// How many there are.
        found: usize,
        /// Width of a row.
        width: usize,
    },
    /// An iteration that came to no end.
    #[error("the decomposition of {0} does not converge")]
    NoConvergence(String),
}

/// The first and second moment of hidden states, gathered in chunks.
#[derive(Clone, Debug)]
pub struct SecondMoment {
    /// `Σ x xᵀ`; (H, H).
    squares: DMatrix<f64>,
    /// `Σ x`; (H).
    sum: DVector<f64>,
    rows: usize,
}

impl SecondMoment {
    /// That of no states yet, each of `width` values.
    pub fn new(width: usize) -> Self {
        Self { squares: DMatrix::zeros(width, width), sum: DVector::zeros(width), rows: 0 }
    }

    /// Adds hidden states; (N, H), row-major.
    ///
    /// # Errors
    /// [`StudentError::Rows`] when the values are not whole rows, and nothing is added.
    pub fn add_rows(&mut self, states: &[f32]) -> Result<(), StudentError> {
        let width = self.sum.len();
        if width == 0 || !states.len().is_multiple_of(width) {
            return Err(StudentError::Rows { found: states.len(), width });
        }
        for chunk in states.chunks(CHUNK_ROWS * width) {
            let columns = columns_of_rows(chunk, width);
            self.squares.gemm(1.0, &columns, &columns.transpose(), 1.0);
            self.sum += columns.column_sum();
            self.rows += columns.ncols();
        }
        Ok(())
    }

    /// The basis of the `student_hidden` directions that hold most energy: uncentred PCA. Of equal
    /// widths it is the identity.
    ///
    /// # Errors
    /// When the student is wider, there were no states, or they are not finite.
    pub fn basis(&self, student_hidden: usize) -> Result<Basis, StudentError> {
        let width = self.sum.len();
        check_hidden(student_hidden, width)?;
        let total = self.squares.trace();
        if self.squares.iter().any(|value| !value.is_finite()) {
            return Err(StudentError::NotFinite("the second moment of hidden states".to_owned()));
        }
        if total <= 0.0 {
            return Err(StudentError::NoStates);
        }
        if student_hidden == width {
            let inputs = Some(self.inputs());
            return Ok(Basis { inputs, ..Basis::identity(width) });
        }
        let eigen = decompose(self.squares.clone());
        let eigen =
            eigen.ok_or_else(|| StudentError::NoConvergence("the second moment".to_owned()))?;
        let mut columns = eigen.vectors.columns(0, student_hidden).into_owned();
        for mut column in columns.column_iter_mut() {
            if is_turned(column.as_slice()) {
                column.neg_mut();
            }
        }
        let kept: f64 = eigen.values[..student_hidden].iter().sum();
        let energy_kept = (kept / total).min(1.0);
        let inputs = Some(self.inputs());
        Ok(Basis { teacher_hidden: width, columns: Some(columns), energy_kept, inputs })
    }

    fn inputs(&self) -> Inputs {
        let rows = self.rows as f64;
        Inputs { squares: &self.squares / rows, mean: &self.sum / rows }
    }
}

/// Orthonormal directions of the teacher's hidden states that the student keeps; (H, h).
///
/// Of each direction and its opposite, the one whose largest component is positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    teacher_hidden: usize,
    /// (H, h); `None` for the identity.
    columns: Option<DMatrix<f64>>,
    energy_kept: f64,
    /// `None` where no states were seen.
    inputs: Option<Inputs>,
}

/// What the teacher's layers are given.
#[derive(Clone, Debug, PartialEq)]
struct Inputs {
    /// The mean of `x xᵀ`; (H, H).
    squares: DMatrix<f64>,
    /// The mean of `x`; (H).
    mean: DVector<f64>,
}

impl Basis {
    /// All directions as they are: for a student as wide as its teacher, no states seen.
    pub fn identity(hidden: usize) -> Self {
        Self { teacher_hidden: hidden, columns: None, energy_kept: 1.0, inputs: None }
    }

    /// `H`.
    pub fn teacher_hidden(&self) -> usize {
        self.teacher_hidden
    }

    /// `h`.
    pub fn student_hidden(&self) -> usize {
        self.columns.as_ref().map_or(self.teacher_hidden, DMatrix::ncols)
    }

    /// The part of the hidden states' energy (the sum of their squares) in the kept directions, 0..=1.
    pub fn energy_kept(&self) -> f64 {
        self.energy_kept
    }

    /// A linear layer from the student's hidden states to the teacher's, to begin with: weight
    /// (H, h), the basis; bias (H), 0.
    pub fn projection(&self) -> (Tensor, Tensor) {
        let (rows, columns) = (self.teacher_hidden, self.student_hidden());
        let weight = match &self.columns {
            Some(matrix) => to_tensor(matrix),
            None => to_tensor(&DMatrix::identity(rows, columns)),
        };
        (weight, Tensor { shape: vec![rows], values: vec![0.0; rows].into() })
    }

    /// `Pᵀ M`: the columns of a matrix (H, N) in the student's coordinates; (h, N).
    fn project(&self, matrix: DMatrix<f64>) -> DMatrix<f64> {
        match &self.columns {
            Some(columns) => columns.transpose() * matrix,
            None => matrix,
        }
    }

    /// `Pᵀ diag(w) P`, of which only the diagonal; w (H), (h).
    fn project_scales(&self, scales: &[f32]) -> Vec<f32> {
        let Some(columns) = &self.columns else { return scales.to_vec() };
        let scales = DVector::from_iterator(scales.len(), scales.iter().map(|&w| f64::from(w)));
        let projected = columns.component_mul(columns).tr_mul(&scales);
        projected.iter().map(|&value| value as f32).collect()
    }

    /// The root mean square over hidden states of each output of the teacher's linear layer `Wᵀ`,
    /// (H, N), with `bias`, (N). Where no states were seen they are taken for white.
    fn root_mean_squares(&self, weight: &DMatrix<f64>, bias: &[f32]) -> Vec<f64> {
        let (squares, means) = match &self.inputs {
            Some(inputs) => {
                let weighted = &inputs.squares * weight;
                let squares = weighted.column_iter().zip(weight.column_iter());
                let squares = squares.map(|(weighted, w)| weighted.dot(&w)).collect::<Vec<_>>();
                (squares, weight.tr_mul(&inputs.mean))
            }
            None => {
                let squares = weight.column_iter().map(|w| w.norm_squared()).collect();
                (squares, DVector::zeros(bias.len()))
            }
        };
        let outputs = squares.iter().zip(means.iter()).zip(bias);
        let square = |((square, mean), &bias): ((&f64, &f64), &f32)| {
            let bias = f64::from(bias);
            square + 2.0 * bias * mean + bias * bias
        };
        // Rounding may bring a sum that is 0 below it.
        outputs.map(|output| square(output).max(0.0).sqrt()).collect()
    }

    /// `M P`: the rows of a table (N, H) in the student's coordinates; (N, h), both row-major.
    fn project_rows(&self, rows: &[f32]) -> Vec<f32> {
        let Some(columns) = &self.columns else { return rows.to_vec() };
        let transposed = columns.transpose();
        let mut projected = Vec::with_capacity(rows.len() / self.teacher_hidden * columns.ncols());
        for chunk in rows.chunks(CHUNK_ROWS * self.teacher_hidden) {
            let chunk = &transposed * columns_of_rows(chunk, self.teacher_hidden);
            projected.extend(chunk.iter().map(|&value| value as f32));
        }
        projected
    }
}

/// Which teacher layer (the first is 0) each layer of a student is made from: the first and the
/// last, the others evenly between, rounded down; 0, 1, 3, 5 for 6 to 4. A single layer is made from
/// the last, whose output it is to give. A student with more layers repeats some; there are none for
/// a teacher without layers.
pub fn default_layers(teacher_layers: usize, student_layers: usize) -> Vec<usize> {
    let Some(last) = teacher_layers.checked_sub(1) else { return Vec::new() };
    match student_layers {
        1 => vec![last],
        _ => (0..student_layers).map(|layer| layer * last / (student_layers - 1)).collect(),
    }
}

/// A student's tensors from its teacher's, named and shaped as [`ModelConfig::parameters`] has them.
///
/// `layers` names a teacher layer for each of the student, from 0 ([`default_layers`]); `basis` is
/// between the two hidden sizes. Heads are taken evenly from the teacher's where the student has
/// fewer. What the teacher does not give is not in the map: the classifier, the pooler where either
/// has none, token types where the teacher has none. A pooler is carried over as if its `tanh` were
/// the identity.
///
/// # Errors
/// When the student is larger in hidden size, heads, neurons, positions or token types, has another
/// vocabulary, `layers` or `basis` do not fit, or a tensor is missing, of another shape, or not
/// finite.
pub fn student_from_teacher(
    teacher: &ModelConfig,
    teacher_tensors: &TensorMap,
    student: &ModelConfig,
    layers: &[usize],
    basis: &Basis,
) -> Result<TensorMap, StudentError> {
    check_sizes(teacher, student)?;
    let expected = (teacher.hidden_size, student.hidden_size);
    let found = (basis.teacher_hidden(), basis.student_hidden());
    if found != expected {
        return Err(StudentError::Basis { found, expected });
    }
    if layers.len() != student.num_hidden_layers {
        let expected = student.num_hidden_layers;
        return Err(StudentError::LayerCount { found: layers.len(), expected });
    }
    if let Some(&layer) = layers.iter().find(|&&layer| layer >= teacher.num_hidden_layers) {
        return Err(StudentError::Layer { layer, layers: teacher.num_hidden_layers });
    }
    let source = Source { config: teacher, tensors: teacher_tensors };
    let mut cut = Cut { source, student, basis, made: TensorMap::new() };
    cut.embeddings()?;
    for (to, &from) in layers.iter().enumerate() {
        cut.layer(from, to)?;
    }
    cut.pooler()?;
    Ok(cut.made)
}

fn check_hidden(student: usize, teacher: usize) -> Result<(), StudentError> {
    check_size("hidden_size", student, teacher)
}

fn check_size(what: &'static str, student: usize, teacher: usize) -> Result<(), StudentError> {
    if (1..=teacher).contains(&student) {
        return Ok(());
    }
    Err(StudentError::Size { what, student, teacher, rule: "at least 1 and not larger" })
}

fn check_sizes(teacher: &ModelConfig, student: &ModelConfig) -> Result<(), StudentError> {
    check_hidden(student.hidden_size, teacher.hidden_size)?;
    for (who, config) in [("teacher", teacher), ("student", student)] {
        let (heads, hidden) = (config.num_attention_heads, config.hidden_size);
        if heads == 0 || !hidden.is_multiple_of(heads) {
            return Err(StudentError::Heads { who, heads, hidden });
        }
    }
    if student.vocab_size != teacher.vocab_size {
        let (student, teacher) = (student.vocab_size, teacher.vocab_size);
        return Err(StudentError::Size { what: "vocab_size", student, teacher, rule: "equal" });
    }
    type Field = fn(&ModelConfig) -> usize;
    let fields: [(&str, Field); 4] = [
        ("num_attention_heads", |config| config.num_attention_heads),
        ("intermediate_size", |config| config.intermediate_size),
        ("max_position_embeddings", |config| config.max_position_embeddings),
        ("type_vocab_size", |config| config.type_vocab_size),
    ];
    for (what, field) in fields {
        check_size(what, field(student), field(teacher))?;
    }
    Ok(())
}

/// The teacher's tensors, checked as they are taken.
#[derive(Clone, Copy)]
struct Source<'a> {
    config: &'a ModelConfig,
    tensors: &'a TensorMap,
}

impl<'a> Source<'a> {
    fn has(self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The values of a tensor, row-major.
    fn values(self, name: &str, shape: &[usize]) -> Result<&'a [f32], StudentError> {
        let tensor =
            self.tensors.get(name).ok_or_else(|| StudentError::Missing(name.to_owned()))?;
        if tensor.shape != shape || tensor.values.len() != shape.iter().product::<usize>() {
            let (found, expected) = (tensor.shape.clone(), shape.to_vec());
            return Err(StudentError::Shape { name: name.to_owned(), found, expected });
        }
        if tensor.values.iter().any(|value| !value.is_finite()) {
            return Err(StudentError::NotFinite(format!("the teacher's tensor {name:?}")));
        }
        Ok(&tensor.values)
    }

    /// `Wᵀ`, the weight of a linear layer `name`, (outputs, inputs); a column for each output.
    fn transposed_weight(
        self,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<DMatrix<f64>, StudentError> {
        let values = self.values(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(columns_of_rows(values, inputs))
    }
}

/// The work on one student.
struct Cut<'a> {
    source: Source<'a>,
    student: &'a ModelConfig,
    basis: &'a Basis,
    made: TensorMap,
}

impl Cut<'_> {
    fn insert(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) {
        self.made.insert(name, Tensor { shape, values: values.into() });
    }

    fn embeddings(&mut self) -> Result<(), StudentError> {
        let (teacher, student) = (self.source.config, self.student);
        for (table, teacher_rows, rows) in [
            ("word", teacher.vocab_size, student.vocab_size),
            ("position", teacher.max_position_embeddings, student.max_position_embeddings),
            ("token_type", teacher.type_vocab_size, student.type_vocab_size),
        ] {
            let name = format!("bert.embeddings.{table}_embeddings.weight");
            if table == "token_type" && !self.source.has(&name) {
                continue;
            }
            let values = self.source.values(&name, &[teacher_rows, teacher.hidden_size])?;
            let values = self.basis.project_rows(&values[..rows * teacher.hidden_size]);
            self.insert(name, vec![rows, student.hidden_size], values);
        }
        self.layer_norm("bert.embeddings.LayerNorm", "bert.embeddings.LayerNorm")
    }

    fn layer(&mut self, from: usize, to: usize) -> Result<(), StudentError> {
        let at = |layer: usize, part: &str| format!("bert.encoder.layer.{layer}.{part}");
        self.attention(&at(from, "attention"), &at(to, "attention"))?;
        for norm in ["attention.output.LayerNorm", "output.LayerNorm"] {
            self.layer_norm(&at(from, norm), &at(to, norm))?;
        }
        self.feed_forward(&at(from, ""), &at(to, ""))
    }

    fn layer_norm(&mut self, from: &str, to: &str) -> Result<(), StudentError> {
        let shape = [self.source.config.hidden_size];
        let weight = self.source.values(&format!("{from}.weight"), &shape)?;
        let weight = self.basis.project_scales(weight);
        self.insert(format!("{to}.weight"), vec![self.student.hidden_size], weight);
        self.projected_bias(from, to)
    }

    /// `Pᵀ b`, for what writes hidden states.
    fn projected_bias(&mut self, from: &str, to: &str) -> Result<(), StudentError> {
        let shape = [self.source.config.hidden_size];
        let bias = self.source.values(&format!("{from}.bias"), &shape)?;
        let bias = self.basis.project_rows(bias);
        self.insert(format!("{to}.bias"), vec![self.student.hidden_size], bias);
        Ok(())
    }

    /// `[W P | b]ᵀ` of a linear layer that reads hidden states; (h + 1, H), a column for each output.
    fn augmented(&self, from: &str) -> Result<DMatrix<f64>, StudentError> {
        let width = self.source.config.hidden_size;
        let bias = self.source.values(&format!("{from}.bias"), &[width])?;
        let weight = self.basis.project(self.source.transposed_weight(from, width, width)?);
        let mut augmented = weight.resize_vertically(self.student.hidden_size + 1, 0.0);
        for (output, &value) in bias.iter().enumerate() {
            augmented[(self.student.hidden_size, output)] = f64::from(value);
        }
        Ok(augmented)
    }

    fn insert_augmented(&mut self, to: &str, augmented: &DMatrix<f64>) {
        let hidden = self.student.hidden_size;
        // A column for each output is a row for each output, row-major.
        let weight = augmented.rows(0, hidden).iter().map(|&value| value as f32).collect();
        let bias = augmented.row(hidden).iter().map(|&value| value as f32).collect();
        self.insert(format!("{to}.weight"), vec![hidden, hidden], weight);
        self.insert(format!("{to}.bias"), vec![hidden], bias);
    }

    /// Cuts each head's two products from the teacher's head size to the student's.
    fn attention(&mut self, from: &str, to: &str) -> Result<(), StudentError> {
        let (teacher, student) = (self.source.config, self.student);
        let (teacher_size, size) = (teacher.head_size(), student.head_size());
        let (width, hidden) = (teacher.hidden_size, student.hidden_size);
        let teacher_query = self.augmented(&format!("{from}.self.query"))?;
        let teacher_key = self.augmented(&format!("{from}.self.key"))?;
        let teacher_value = self.augmented(&format!("{from}.self.value"))?;
        let output =
            self.source.transposed_weight(&format!("{from}.output.dense"), width, width)?;
        let teacher_output = self.basis.project(output.transpose()); // (h, H)

        let mut query = DMatrix::zeros(hidden + 1, hidden);
        let (mut key, mut value) = (query.clone(), query.clone());
        let mut output = DMatrix::zeros(hidden, hidden);
        // The root of √(d / D), for each of the two factors.
        let scale = (size as f64 / teacher_size as f64).powf(0.25);
        for head in 0..student.num_attention_heads {
            let source = head * teacher.num_attention_heads / student.num_attention_heads;
            let source = source * teacher_size;
            let part = |matrix: &DMatrix<f64>| matrix.columns(source, teacher_size).into_owned();
            let of_head = |_| StudentError::NoConvergence(format!("{from}, head {head}"));
            let at = head * size;
            let (left, right) =
                cut_product(part(&teacher_query), part(&teacher_key), size).map_err(of_head)?;
            query.columns_mut(at, size).copy_from(&(left * scale));
            key.columns_mut(at, size).copy_from(&(right * scale));
            let (left, right) =
                cut_product(part(&teacher_output), part(&teacher_value), size).map_err(of_head)?;
            output.columns_mut(at, size).copy_from(&left);
            value.columns_mut(at, size).copy_from(&right);
        }
        self.insert_augmented(&format!("{to}.self.query"), &query);
        self.insert_augmented(&format!("{to}.self.key"), &key);
        self.insert_augmented(&format!("{to}.self.value"), &value);
        self.made.insert(format!("{to}.output.dense.weight"), to_tensor(&output));
        self.projected_bias(&format!("{from}.output.dense"), &format!("{to}.output.dense"))
    }

    /// Keeps the neurons that do most: the root mean square of what each is given, times the norm of
    /// what it writes, in the teacher's order. `from` and `to` end in a dot.
    fn feed_forward(&mut self, from: &str, to: &str) -> Result<(), StudentError> {
        let (teacher, student) = (self.source.config, self.student);
        let (width, neurons) = (teacher.hidden_size, teacher.intermediate_size);
        let (inner, outer) = ("intermediate.dense", "output.dense");
        let ingoing = self.source.transposed_weight(&format!("{from}{inner}"), neurons, width)?;
        let bias = self.source.values(&format!("{from}{inner}.bias"), &[neurons])?;
        let outgoing = self.source.transposed_weight(&format!("{from}{outer}"), width, neurons)?;
        let outgoing = self.basis.project(outgoing.transpose()); // (h, I)

        let given = self.basis.root_mean_squares(&ingoing, bias);
        let does = given.iter().zip(outgoing.column_iter()).map(|(given, w)| given * w.norm());
        let kept = largest(&does.collect::<Vec<_>>(), student.intermediate_size);
        // A column for each output is a row for each output, row-major.
        let ingoing = self.basis.project(ingoing.select_columns(&kept));
        let ingoing = ingoing.iter().map(|&value| value as f32).collect();
        let bias = kept.iter().map(|&neuron| bias[neuron]).collect();
        let shape = vec![student.intermediate_size, student.hidden_size];
        self.insert(format!("{to}{inner}.weight"), shape, ingoing);
        self.insert(format!("{to}{inner}.bias"), vec![student.intermediate_size], bias);
        let outgoing = to_tensor(&outgoing.select_columns(&kept));
        self.made.insert(format!("{to}{outer}.weight"), outgoing);
        self.projected_bias(&format!("{from}{outer}"), &format!("{to}{outer}"))
    }

    fn pooler(&mut self) -> Result<(), StudentError> {
        let name = "bert.pooler.dense";
        if self.student.pooling != Pooling::Cls || !self.source.has(&format!("{name}.weight")) {
            return Ok(());
        }
        let width = self.source.config.hidden_size;
        let weight = self.basis.project(self.source.transposed_weight(name, width, width)?);
        let weight = self.basis.project(weight.transpose());
        self.made.insert(format!("{name}.weight"), to_tensor(&weight));
        self.projected_bias(name, name)
    }
}

/// A decomposition that came to no end.
struct NoConvergence;

/// The best product of a rank in the place of `left rightᵀ`, which are (M, K) and (N, K): (M, rank)
/// and (N, rank), of columns that share a singular value evenly.
///
/// A rank of `K` keeps both as they are. Of a larger rank, the further columns are 0 on the left and
/// repeat those on the right: the product is the same, and training can still reach them, as it
/// could not if both were 0.
fn cut_product(
    left: DMatrix<f64>,
    right: DMatrix<f64>,
    rank: usize,
) -> Result<(DMatrix<f64>, DMatrix<f64>), NoConvergence> {
    let inner = left.ncols();
    if rank >= inner {
        let repeated: Vec<usize> = (0..rank).map(|column| column % inner).collect();
        return Ok((left.resize_horizontally(rank, 0.0), right.select_columns(&repeated)));
    }
    // left rightᵀ = M qᵀ, and the best M V Vᵀ keeps the first eigenvectors V of Mᵀ M.
    let right = right.qr();
    let (m, q) = (left * right.r().transpose(), right.q());
    let mut cut = (DMatrix::zeros(m.nrows(), rank), DMatrix::zeros(q.nrows(), rank));
    let eigen = decompose(m.transpose() * &m).ok_or(NoConvergence)?;
    for (column, direction) in eigen.vectors.column_iter().take(rank).enumerate() {
        let on_left = &m * direction;
        let singular_value = on_left.norm();
        if singular_value > 0.0 {
            let share = singular_value.sqrt();
            let share = if is_turned(on_left.as_slice()) { -share } else { share };
            cut.0.set_column(column, &(on_left * share / singular_value));
            cut.1.set_column(column, &(&q * direction * share));
        }
    }
    Ok(cut)
}

/// Eigenvalues and eigenvectors of a symmetric matrix, the largest first.
struct Decomposition {
    values: Vec<f64>,
    /// A column for each value.
    vectors: DMatrix<f64>,
}

/// `None` when the iteration comes to no end. What the matrix has in its smallest eigenvalues, below
/// 1e-15 of the largest, is noise.
fn decompose(matrix: DMatrix<f64>) -> Option<Decomposition> {
    let steps = STEPS_PER_DIMENSION * matrix.nrows();
    let eigen = SymmetricEigen::try_new(matrix, f64::EPSILON, steps)?;
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
    let values = order.iter().map(|&index| eigen.eigenvalues[index]).collect();
    Some(Decomposition { values, vectors: eigen.eigenvectors.select_columns(&order) })
}

/// Whether a vector's largest component is negative; the first of equals counts.
fn is_turned(vector: &[f64]) -> bool {
    let larger =
        |largest: f64, &value: &f64| if value.abs() > largest.abs() { value } else { largest };
    vector.iter().fold(0.0, larger) < 0.0
}

/// The indices of the `count` largest values, ascending; the first of equals goes before.
fn largest(values: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// Row-major rows as the columns of a matrix; (width, N).
fn columns_of_rows(rows: &[f32], width: usize) -> DMatrix<f64> {
    let values = rows.iter().map(|&value| f64::from(value));
    DMatrix::from_iterator(width, rows.len() / width, values)
}

/// A matrix as a tensor of the same shape.
fn to_tensor(matrix: &DMatrix<f64>) -> Tensor {
    let values = matrix.transpose().iter().map(|&value| value as f32).collect();
    Tensor { shape: vec![matrix.nrows(), matrix.ncols()], values }
}

#[cfg(test)]
mod tests;
