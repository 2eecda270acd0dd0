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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers in -1..1 that follow from a seed.
    fn noise(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    fn random(seed: u64, rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_iterator(
            rows,
            columns,
            noise(seed, rows * columns).into_iter().map(f64::from),
        )
    }

    fn config(hidden: usize, heads: usize, intermediate: usize, layers: usize) -> ModelConfig {
        ModelConfig {
            vocab_size: 30,
            hidden_size: hidden,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: intermediate,
            max_position_embeddings: 10,
            ..ModelConfig::preset("4L-312D").unwrap()
        }
    }

    /// Every tensor random, norms and biases as well.
    fn tensors(config: &ModelConfig) -> TensorMap {
        let specs = config.parameters(3).into_iter().enumerate();
        let tensors = specs.map(|(i, spec)| {
            let values = noise(i as u64 + 1, spec.len()).into();
            (spec.name, Tensor { shape: spec.shape, values })
        });
        tensors.collect()
    }

    /// A basis that random states give.
    fn basis(hidden: usize, student_hidden: usize) -> Basis {
        let mut moment = SecondMoment::new(hidden);
        moment.add_rows(&noise(99, 200 * hidden)).unwrap();
        moment.basis(student_hidden).unwrap()
    }

    fn matrix(tensors: &TensorMap, name: &str) -> DMatrix<f64> {
        let tensor = &tensors[name];
        let columns = tensor.shape.get(1).copied().unwrap_or(1);
        columns_of_rows(&tensor.values, columns).transpose()
    }

    /// `W x + b` of each column of `x`.
    fn linear(tensors: &TensorMap, name: &str, x: &DMatrix<f64>) -> DMatrix<f64> {
        let bias = matrix(tensors, &format!("{name}.bias")).column(0).into_owned();
        let mut y = matrix(tensors, &format!("{name}.weight")) * x;
        y.column_iter_mut().for_each(|mut column| column += &bias);
        y
    }

    /// What a head makes of states, the columns of `x`: scores between all pairs, (N, N), and what
    /// it would add to the hidden states for each, (H, N).
    fn head(
        config: &ModelConfig,
        tensors: &TensorMap,
        layer: usize,
        head: usize,
        x: &DMatrix<f64>,
    ) -> (DMatrix<f64>, DMatrix<f64>) {
        let at = format!("bert.encoder.layer.{layer}.attention");
        let size = config.head_size();
        let part = |name: &str| {
            let all = linear(tensors, &format!("{at}.self.{name}"), x);
            all.rows(head * size, size).into_owned()
        };
        let output = matrix(tensors, &format!("{at}.output.dense.weight"));
        let scores = part("query").transpose() * part("key") / (size as f64).sqrt();
        (scores, output.columns(head * size, size) * part("value"))
    }

    fn assert_close(found: &DMatrix<f64>, expected: &DMatrix<f64>, tolerance: f64, what: &str) {
        let error = (found - expected).norm() / expected.norm();
        assert!(error < tolerance, "{what}: relative error {error:e}");
    }

    #[test]
    fn layers_are_spread_over_the_teacher() {
        assert_eq!(default_layers(6, 4), [0, 1, 3, 5]);
        assert_eq!(default_layers(12, 4), [0, 3, 7, 11]);
        assert_eq!(default_layers(12, 2), [0, 11]);
        assert_eq!(default_layers(6, 1), [5]);
        assert_eq!(default_layers(3, 3), [0, 1, 2]);
        assert_eq!(default_layers(2, 4), [0, 0, 0, 1]);
        assert_eq!(default_layers(1, 2), [0, 0]);
        assert!(default_layers(0, 2).is_empty() && default_layers(6, 0).is_empty());
    }

    #[test]
    fn a_student_of_equal_sizes_is_the_teacher() {
        let teacher = config(12, 3, 20, 3);
        let given = tensors(&teacher);
        let student = ModelConfig { num_hidden_layers: 2, ..teacher.clone() };
        let made =
            student_from_teacher(&teacher, &given, &student, &[0, 2], &basis(12, 12)).unwrap();
        let specs =
            student.parameters(3).into_iter().filter(|spec| !spec.name.starts_with("class"));
        let mut count = 0;
        for spec in specs {
            let name = spec.name.replace("layer.1.", "layer.2.");
            assert_eq!(made.get(&spec.name), Some(&given[&name]), "{}", spec.name);
            count += 1;
        }
        assert_eq!(made.len(), count);
    }

    #[test]
    fn names_and_shapes_are_the_students() {
        let teacher = config(24, 6, 40, 3);
        let student =
            ModelConfig { max_position_embeddings: 7, type_vocab_size: 1, ..config(20, 4, 30, 2) };
        let layers = default_layers(3, 2);
        let mut given = tensors(&teacher);
        let make = |given: &TensorMap, student: &ModelConfig| {
            student_from_teacher(&teacher, given, student, &layers, &basis(24, 20)).unwrap()
        };
        let made = make(&given, &student);
        for spec in student.parameters(3) {
            let shape = made.get(&spec.name).map(|tensor| &tensor.shape);
            let expected = (!spec.name.starts_with("classifier.")).then_some(&spec.shape);
            assert_eq!(shape, expected, "{}", spec.name);
        }
        assert_eq!(made.len(), student.parameters(3).len() - 2);

        let is_pooler = |name: &String| name.starts_with("bert.pooler.");
        let mean = ModelConfig { pooling: Pooling::Mean, ..student.clone() };
        assert!(!make(&given, &mean).keys().any(is_pooler));
        given.retain(|name, _| !is_pooler(name) && !name.contains("token_type"));
        let fewer = make(&given, &student);
        assert_eq!(fewer.len(), made.len() - 3);
        assert!(fewer.iter().all(|(name, tensor)| made[name] == *tensor));
    }

    #[test]
    fn tables_biases_and_norms_are_in_the_students_coordinates() {
        let (teacher, student) = (config(24, 6, 40, 2), config(20, 4, 30, 2));
        let (given, basis) = (tensors(&teacher), basis(24, 20));
        let made = student_from_teacher(&teacher, &given, &student, &[0, 1], &basis).unwrap();
        let (weight, bias) = basis.projection();
        assert_eq!((&*weight.shape, &*bias.shape), (&[24, 20][..], &[24][..]));
        assert!(bias.values.iter().all(|&value| value == 0.0));
        let p = columns_of_rows(&weight.values, 20).transpose();
        for table in ["word", "position", "token_type"] {
            let name = format!("bert.embeddings.{table}_embeddings.weight");
            assert_close(&matrix(&made, &name), &(matrix(&given, &name) * &p), 1e-6, &name);
        }
        let at = "bert.encoder.layer.1";
        for name in ["attention.output.dense", "attention.output.LayerNorm", "output.dense"] {
            let name = format!("{at}.{name}.bias");
            assert_close(
                &matrix(&made, &name),
                &(p.transpose() * matrix(&given, &name)),
                1e-6,
                &name,
            );
        }
        let name = format!("{at}.output.LayerNorm.weight");
        let scales = DMatrix::from_diagonal(&matrix(&given, &name).column(0));
        let expected =
            DMatrix::from_column_slice(20, 1, (p.transpose() * scales * &p).diagonal().as_slice());
        assert_close(&matrix(&made, &name), &expected, 1e-6, &name);
    }

    /// Heads of rank 3 that read and write only 12 of 24 dimensions: nothing is lost.
    #[test]
    fn heads_within_the_students_reach_keep_their_products() {
        let (teacher, student) = (config(24, 4, 8, 1), config(12, 4, 8, 1));
        let reach = random(7, 24, 12).qr().q();
        let mut given = tensors(&teacher);
        let at = "bert.encoder.layer.0.attention";
        let mut put = |name: &str, matrix: &DMatrix<f64>| {
            let shape = given[name].shape.clone();
            given.insert(name.to_owned(), Tensor { shape, ..to_tensor(matrix) });
        };
        for (seed, name) in [(1, "query"), (2, "key"), (3, "value")] {
            // Weight and bias of a head: (6, 3) times (3, 24 + 1).
            let (mut weight, mut bias) = (DMatrix::zeros(24, 24), DMatrix::zeros(24, 1));
            for head in 0..4 {
                let left = random(10 * seed + head, 6, 3);
                let right = random(100 * seed + head, 3, 12) * reach.transpose();
                let rows = 6 * head as usize;
                weight.rows_mut(rows, 6).copy_from(&(&left * right));
                bias.rows_mut(rows, 6).copy_from(&(left * random(1000 * seed + head, 3, 1)));
            }
            put(&format!("{at}.self.{name}.weight"), &weight);
            put(&format!("{at}.self.{name}.bias"), &bias);
        }
        let output = &reach * random(5, 12, 24);
        put(&format!("{at}.output.dense.weight"), &output);

        let x = &reach * random(8, 12, 50);
        let mut moment = SecondMoment::new(24);
        moment.add_rows(&x.iter().map(|&value| value as f32).collect::<Vec<_>>()).unwrap();
        let basis = moment.basis(12).unwrap();
        assert!((basis.energy_kept() - 1.0).abs() < 1e-6);
        let made = student_from_teacher(&teacher, &given, &student, &[0], &basis).unwrap();
        let projected = basis.project(x.clone());
        for index in 0..4 {
            let (scores, added) = head(&teacher, &given, 0, index, &x);
            let (found_scores, found_added) = head(&student, &made, 0, index, &projected);
            assert_close(&found_scores, &scores, 1e-5, "scores");
            assert_close(&found_added, &basis.project(added), 1e-5, "values");
        }
    }

    /// Six heads of 4 to four of 5: heads 0, 1, 3 and 4, whole.
    #[test]
    fn fewer_heads_are_taken_evenly() {
        let (teacher, student) = (config(24, 6, 8, 1), config(20, 4, 8, 1));
        let (given, basis) = (tensors(&teacher), basis(24, 20));
        let made = student_from_teacher(&teacher, &given, &student, &[0], &basis).unwrap();
        let y = random(4, 20, 30);
        let x = basis.columns.as_ref().unwrap() * &y;
        for (to, from) in [(0, 0), (1, 1), (2, 3), (3, 4)] {
            let (scores, added) = head(&teacher, &given, 0, from, &x);
            let (found_scores, found_added) = head(&student, &made, 0, to, &y);
            assert_close(&found_scores, &scores, 1e-5, "scores");
            assert_close(&found_added, &basis.project(added), 1e-5, "values");
        }
        let at = "bert.encoder.layer.0.attention";
        for (zero, other) in [("self.query", "self.key"), ("output.dense", "self.value")] {
            let weight = matrix(&made, &format!("{at}.{zero}.weight"));
            let zero =
                if zero == "output.dense" { weight.column(4).norm() } else { weight.row(4).norm() };
            let other = matrix(&made, &format!("{at}.{other}.weight")).row(4).norm();
            assert!(zero == 0.0 && other > 0.1, "training cannot reach the fifth dimension");
        }
    }

    /// Against the states themselves; and by norms of weights where none were seen.
    #[test]
    fn the_neurons_that_do_most_stay() {
        let teacher = config(24, 6, 16, 1);
        let given = tensors(&teacher);
        let at = "bert.encoder.layer.0";
        let (inner, outer) = (format!("{at}.intermediate.dense"), format!("{at}.output.dense"));
        // Directions of much and of little energy, and a mean.
        let mut states = DMatrix::from_vec(24, 300, noise(99, 24 * 300));
        for (dimension, mut row) in states.row_iter_mut().enumerate() {
            row.apply(|value| *value = (*value + 0.5) * (1.0 + dimension as f32));
        }
        let mut moment = SecondMoment::new(24);
        moment.add_rows(states.as_slice()).unwrap();
        let states = states.map(f64::from);
        let mut choices = Vec::new();
        for basis in [moment.basis(20).unwrap(), moment.basis(24).unwrap(), Basis::identity(24)] {
            let make = |intermediate| {
                let hidden = basis.student_hidden();
                let student = config(hidden, if hidden == 24 { 6 } else { 4 }, intermediate, 1);
                student_from_teacher(&teacher, &given, &student, &[0], &basis).unwrap()
            };
            let (whole, made) = (make(16), make(5));
            let (weight, bias) = (format!("{inner}.weight"), format!("{inner}.bias"));
            let ingoing: Vec<f64> = if basis.inputs.is_some() {
                linear(&given, &inner, &states).row_iter().map(|row| row.norm()).collect()
            } else {
                let (weight, bias) = (matrix(&given, &weight), matrix(&given, &bias));
                weight.row_iter().zip(bias.iter()).map(|(w, b)| w.norm().hypot(*b)).collect()
            };
            let weights = matrix(&given, &weight).transpose();
            let found = basis.root_mean_squares(&weights, &given[&bias].values);
            let rows = if basis.inputs.is_some() { 300_f64 } else { 1.0 };
            for (found, sum) in found.iter().zip(&ingoing) {
                assert!((found * rows.sqrt() / sum - 1.0).abs() < 1e-6, "{found} {sum}");
            }
            let outgoing = matrix(&whole, &format!("{outer}.weight"));
            let does = |&neuron: &usize| ingoing[neuron] * outgoing.column(neuron).norm();
            let mut kept: Vec<usize> = (0..16).collect();
            kept.sort_by(|i, j| does(j).total_cmp(&does(i)));
            kept.truncate(5);
            kept.sort();
            for name in [&weight, &bias] {
                assert_eq!(matrix(&made, name), matrix(&whole, name).select_rows(&kept), "{name}");
            }
            let found = matrix(&made, &format!("{outer}.weight"));
            assert_eq!(found, outgoing.select_columns(&kept));
            choices.push(kept);
        }
        assert_ne!(choices[1], choices[2], "the states do not matter");
    }

    #[test]
    fn what_cannot_be_names_what_is_wrong() {
        let (teacher, student) = (config(24, 6, 40, 3), config(20, 4, 30, 2));
        let given = tensors(&teacher);
        let narrow = basis(24, 20);
        let fails = |given: &TensorMap, student: &ModelConfig, layers: &[usize], basis: &Basis| {
            let made = student_from_teacher(&teacher, given, student, layers, basis);
            made.unwrap_err().to_string()
        };
        type Change = fn(&mut ModelConfig);
        let changes: [(Change, &[&str]); 11] = [
            (|c| c.hidden_size = 28, &["hidden_size", "28", "24"]),
            (|c| c.hidden_size = 0, &["hidden_size", "0", "24"]),
            (|c| c.hidden_size = 16, &["24 to 20", "24 to 16"]),
            (|c| c.num_attention_heads = 10, &["num_attention_heads", "10", "6"]),
            (|c| c.num_attention_heads = 3, &["student", "3 heads", "20"]),
            (|c| c.num_attention_heads = 0, &["student", "0 heads"]),
            (|c| c.intermediate_size = 41, &["intermediate_size", "41", "40"]),
            (|c| c.intermediate_size = 0, &["intermediate_size", "0", "40"]),
            (|c| c.vocab_size = 29, &["vocab_size", "29", "30"]),
            (|c| c.max_position_embeddings = 11, &["max_position_embeddings", "11", "10"]),
            (|c| c.type_vocab_size = 3, &["type_vocab_size", "3", "2"]),
        ];
        for (change, expected) in changes {
            let mut changed = student.clone();
            change(&mut changed);
            let message = fails(&given, &changed, &[0, 2], &narrow);
            assert!(expected.iter().all(|part| message.contains(part)), "{message}");
        }
        for (layers, expected) in [
            (&[][..], "0 teacher layers are named for the student's 2"),
            (&[0, 1, 2], "3 teacher layers are named for the student's 2"),
            (&[0, 3], "no teacher layer 3: it has 3"),
        ] {
            let message = fails(&given, &student, layers, &narrow);
            assert!(message.contains(expected), "{message}");
        }
        let message = fails(&given, &student, &[0, 2], &Basis::identity(24));
        assert!(message.contains("24 to 24"), "{message}");

        let optional = |name: &str| {
            ["classifier", "token_type", "layer.1.", "pooler.dense.weight"]
                .iter()
                .any(|part| name.contains(part))
        };
        for name in given.keys().filter(|name| !optional(name)) {
            let mut without = given.clone();
            without.remove(name);
            let message = fails(&without, &student, &[0, 2], &narrow);
            assert!(message.contains(&format!("lacks the tensor {name:?}")), "{message}");
            let mut other = given.clone();
            other.insert(name.clone(), Tensor { shape: vec![1, 1], values: vec![0.0].into() });
            let message = fails(&other, &student, &[0, 2], &narrow);
            assert!(message.contains(name) && message.contains("[1, 1]"), "{message}");
            let shape = given[name].shape.clone();
            other.insert(name.clone(), Tensor { shape, values: vec![0.0].into() });
            assert!(fails(&other, &student, &[0, 2], &narrow).contains(name));
            let Tensor { shape, values } = given[name].clone();
            let mut values = values.to_vec();
            values[0] = f32::NAN;
            other.insert(name.clone(), Tensor { shape, values: values.into() });
            let message = fails(&other, &student, &[0, 2], &narrow);
            assert!(message.contains(name) && message.contains("not finite"), "{message}");
        }
    }

    #[test]
    fn moments_that_give_no_basis() {
        let mut moment = SecondMoment::new(4);
        assert_eq!(moment.basis(2), Err(StudentError::NoStates));
        moment.add_rows(&[]).unwrap();
        moment.add_rows(&[0.0; 8]).unwrap();
        assert_eq!(moment.basis(2), Err(StudentError::NoStates));
        let rows = moment.add_rows(&[1.0; 5]);
        assert_eq!(rows, Err(StudentError::Rows { found: 5, width: 4 }));
        assert_eq!(moment.basis(2), Err(StudentError::NoStates), "part of the rows was added");
        moment.add_rows(&[1.0; 4]).unwrap();
        assert!(moment.basis(2).is_ok());
        let message = moment.basis(5).unwrap_err().to_string();
        assert!(message.contains('5') && message.contains('4'), "{message}");
        assert!(moment.basis(0).is_err());
        moment.add_rows(&[f32::INFINITY, 1.0, 1.0, 1.0]).unwrap();
        assert!(matches!(moment.basis(2), Err(StudentError::NotFinite(_))));
        let empty = SecondMoment::new(0);
        assert!(empty.basis(0).is_err() && empty.clone().add_rows(&[1.0]).is_err());
    }

    #[test]
    fn the_basis_is_the_same_however_states_arrive() {
        let states = noise(5, 3000 * 16);
        let mut whole = SecondMoment::new(16);
        whole.add_rows(&states).unwrap();
        let mut parts = SecondMoment::new(16);
        for part in states.chunks(16 * 37).rev() {
            parts.add_rows(part).unwrap();
        }
        let (whole_basis, parts) = (whole.basis(9).unwrap(), parts.basis(9).unwrap());
        assert_eq!(whole_basis, whole.basis(9).unwrap());
        let columns = whole_basis.columns.as_ref().unwrap();
        assert_close(parts.columns.as_ref().unwrap(), columns, 1e-9, "basis");
        for column in columns.column_iter() {
            assert_eq!(column.amax(), column.max(), "the largest component is positive");
        }
        let gram = columns.transpose() * columns;
        assert_close(&gram, &DMatrix::identity(9, 9), 1e-12, "not orthonormal");
        let kept = (columns.transpose() * &whole.squares * columns).trace() / whole.squares.trace();
        assert!((whole_basis.energy_kept() - kept).abs() < 1e-12);
        // Energies fall, and no direction left out has more energy than the last kept.
        let energies = (columns.transpose() * &whole.squares * columns).diagonal();
        assert!(energies.as_slice().windows(2).all(|pair| pair[0] >= pair[1]));
        let eigenvalues = whole.squares.symmetric_eigenvalues();
        let below = eigenvalues.iter().filter(|&&value| value < energies[8] * (1.0 - 1e-9)).count();
        assert_eq!(below, 7);
    }

    proptest! {
        /// Against the singular values of the whole product (Eckart & Young, 1936).
        #[test]
        fn no_product_of_the_rank_is_closer(
            seed: u64, rows in 1..12_usize, columns in 1..12_usize, inner in 1..8_usize,
            true_rank in 0..8_usize, rank in 1..10_usize, scale in -30..30_i32,
        ) {
            let scale = 2_f64.powi(scale);
            let left = random(seed, rows, true_rank) * random(seed ^ 1, true_rank, inner) * scale;
            let right = random(seed ^ 2, columns, inner);
            let product = &left * right.transpose();
            let (a, b) = cut_product(left, right, rank).ok().unwrap();
            prop_assert_eq!((a.shape(), b.shape()), ((rows, rank), (columns, rank)));
            let gram = product.transpose() * &product;
            let mut squares = gram.symmetric_eigenvalues().as_slice().to_vec();
            squares.sort_by(|a, b| b.total_cmp(a));
            let left_out: f64 = squares.iter().skip(rank).map(|value| value.max(0.0)).sum();
            let error = (&product - a * b.transpose()).norm();
            let difference = (error - left_out.sqrt()).abs();
            prop_assert!(difference <= 1e-6 * product.norm(), "{error:e} {:e}", left_out.sqrt());
        }
    }
}
