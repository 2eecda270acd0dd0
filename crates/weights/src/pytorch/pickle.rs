//! A reader of the part of the pickle language that describes tensors.
//!
//! A pickle is a program for a small stack machine. This one knows the instructions that
//! `torch.save` emits (protocols 2 to 4) and a fixed list of names; calling any other name is
//! refused. Values live in an arena and refer to each other by index, so that a nest of a million
//! lists neither recurses nor is copied; every instruction adds a bounded amount, so memory stays
//! within a multiple of the file.

use super::Problem;
use super::storage::Dtype;

/// Names of storages are numbers.
const LONGEST_KEY: usize = 256;

/// No weight has more.
const MOST_DIMENSIONS: usize = 8;

/// Anything on the stack. Containers are indices into the machine's arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
    /// Bytes, and whatever is only passed over.
    Opaque,
}

/// The names that may be called or referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", storage) => Self::Storage(Dtype::of_storage(storage)?),
            _ => return None,
        })
    }
}

/// A run of numbers somewhere in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StorageRef {
    pub(super) dtype: Dtype,
    /// Index of its text: [`Arena::key`].
    key: usize,
    /// In elements, as the pickle says.
    pub(super) len: usize,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorRef {
    pub(super) storage: StorageRef,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Where values live.
#[derive(Debug, Default)]
pub(super) struct Arena {
    texts: Vec<String>,
    tuples: Vec<Vec<Value>>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<StorageRef>,
    tensors: Vec<TensorRef>,
}

impl Arena {
    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(index) => Some(&self.texts[index]),
            _ => None,
        }
    }

    pub(super) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(index) => Some(&self.tuples[index]),
            Value::List(index) => Some(&self.lists[index]),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(index) => Some(&self.dicts[index]),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, value: Value) -> Option<&TensorRef> {
        match value {
            Value::Tensor(index) => Some(&self.tensors[index]),
            _ => None,
        }
    }

    /// Under which name a file has a storage.
    pub(super) fn key(&self, storage: StorageRef) -> &str {
        &self.texts[storage.key]
    }

    /// All storages that were referred to.
    pub(super) fn storages(&self) -> &[StorageRef] {
        &self.storages
    }

    fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let size = |&value: &Value| match value {
            Value::Int(size) => usize::try_from(size).ok(),
            _ => None,
        };
        let sizes = self.sequence(value)?;
        // Each tensor holds its own, and many may name the same.
        if sizes.len() > MOST_DIMENSIONS {
            return None;
        }
        sizes.iter().map(size).collect()
    }
}

/// The bytes that are still to be read.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Problem> {
        if len > self.bytes.len() {
            return Err(Problem::contents("it ends in the middle of a value"));
        }
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        Ok(self.array::<1>()?[0])
    }

    fn small_len(&mut self) -> Result<usize, Problem> {
        Ok(usize::from(self.byte()?))
    }

    fn len32(&mut self) -> Result<usize, Problem> {
        let len = u32::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| Problem::contents("a length is out of range"))
    }

    fn len64(&mut self) -> Result<usize, Problem> {
        let len = u64::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| Problem::contents("a length is out of range"))
    }

    fn line(&mut self) -> Result<&'a str, Problem> {
        let end = self.bytes.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| Problem::contents("it ends in the middle of a name"))?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| Problem::contents("a name is not UTF-8"))
    }

    /// A whole number of up to eight bytes, little-endian, in two's complement.
    fn long(&mut self, len: usize) -> Result<Value, Problem> {
        let bytes = self.take(len)?;
        if len > 8 {
            return Ok(Value::Opaque); // the magic number of legacy files; no size is that large
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut padded = if negative { [0xFF; 8] } else { [0; 8] };
        padded[..len].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(padded)))
    }
}

struct Machine<'a, 'b> {
    cursor: &'b mut Cursor<'a>,
    arena: &'b mut Arena,
    stack: Vec<Value>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    /// What was put aside, by number. Numbers come from the file, so this is no array.
    memo: std::collections::HashMap<usize, Value>,
}

/// Runs one pickle from `cursor` to its end and gives its value.
pub(super) fn load(cursor: &mut Cursor<'_>, arena: &mut Arena) -> Result<Value, Problem> {
    let (stack, marks, memo) = (Vec::new(), Vec::new(), std::collections::HashMap::new());
    let mut machine = Machine { cursor, arena, stack, marks, memo };
    loop {
        let instruction = machine.cursor.byte()?;
        if instruction == b'.' {
            return machine.pop();
        }
        machine.step(instruction)?;
    }
}

impl Machine<'_, '_> {
    fn pop(&mut self) -> Result<Value, Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Problem::contents("it takes a value from an empty stack"));
        }
        Ok(self.stack.pop().expect("the stack is not empty"))
    }

    fn top(&self) -> Result<Value, Problem> {
        let top = self.stack.last().copied();
        top.ok_or_else(|| Problem::contents("it looks at an empty stack"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, Problem> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| Problem::contents("it closes what was not opened"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn push_text(&mut self, len: usize) -> Result<(), Problem> {
        let bytes = self.cursor.take(len)?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.arena.texts.push(text);
        self.stack.push(Value::Text(self.arena.texts.len() - 1));
        Ok(())
    }

    fn push_tuple(&mut self, values: Vec<Value>) {
        self.arena.tuples.push(values);
        self.stack.push(Value::Tuple(self.arena.tuples.len() - 1));
    }

    fn push_dict(&mut self) {
        self.arena.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.arena.dicts.len() - 1));
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), Problem> {
        let global = Global::named(module, name);
        let global = global.ok_or_else(|| Problem::Unsafe(format!("{module}.{name}")))?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn push_tuple_of(&mut self, count: usize) -> Result<(), Problem> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.pop()?);
        }
        values.reverse();
        self.push_tuple(values);
        Ok(())
    }

    fn step(&mut self, instruction: u8) -> Result<(), Problem> {
        match instruction {
            0x80 => {
                let protocol = self.cursor.byte()?;
                if !(2..=5).contains(&protocol) {
                    return Err(Problem::contents(format!("pickle protocol {protocol}")));
                }
            }
            0x95 => drop(self.cursor.take(8)?), // a frame's length
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'J' => {
                let value = i32::from_le_bytes(self.cursor.array()?);
                self.stack.push(Value::Int(value.into()));
            }
            b'K' => {
                let value = self.cursor.byte()?;
                self.stack.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.cursor.array()?);
                self.stack.push(Value::Int(value.into()));
            }
            0x8a | 0x8b => {
                let len = if instruction == 0x8a {
                    self.cursor.small_len()?
                } else {
                    self.cursor.len32()?
                };
                let value = self.cursor.long(len)?;
                self.stack.push(value);
            }
            b'G' => {
                self.cursor.take(8)?;
                self.stack.push(Value::Float);
            }
            b'X' | b'T' => {
                let len = self.cursor.len32()?;
                self.push_text(len)?;
            }
            0x8c | b'U' => {
                let len = self.cursor.small_len()?;
                self.push_text(len)?;
            }
            0x8d => {
                let len = self.cursor.len64()?;
                self.push_text(len)?;
            }
            b'B' | b'C' => {
                let len = if instruction == b'C' {
                    self.cursor.small_len()?
                } else {
                    self.cursor.len32()?
                };
                self.cursor.take(len)?;
                self.stack.push(Value::Opaque);
            }
            b'}' => self.push_dict(),
            b']' => {
                self.arena.lists.push(Vec::new());
                self.stack.push(Value::List(self.arena.lists.len() - 1));
            }
            b')' => self.push_tuple(Vec::new()),
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let values = self.pop_to_mark()?;
                self.push_tuple(values);
            }
            0x85..=0x87 => self.push_tuple_of(usize::from(instruction - 0x84))?,
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' => {
                let values = self.pop_to_mark()?;
                self.append(values)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let value = self.top()?;
                self.stack.push(value);
            }
            b'q' | b'r' => {
                let slot = if instruction == b'q' {
                    self.cursor.small_len()?
                } else {
                    self.cursor.len32()?
                };
                let value = self.top()?;
                self.memo.insert(slot, value);
            }
            0x94 => {
                let value = self.top()?;
                self.memo.insert(self.memo.len(), value);
            }
            b'h' | b'j' => {
                let slot = if instruction == b'h' {
                    self.cursor.small_len()?
                } else {
                    self.cursor.len32()?
                };
                let value = self.memo.get(&slot).copied();
                let value =
                    value.ok_or_else(|| Problem::contents("it recalls what was not kept"))?;
                self.stack.push(value);
            }
            b'c' => {
                let module = self.cursor.line()?;
                let name = self.cursor.line()?;
                self.push_global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let texts = self.arena.text(module).zip(self.arena.text(name));
                let (module, name) =
                    texts.ok_or_else(|| Problem::contents("a name that is no text"))?;
                let (module, name) = (module.to_owned(), name.to_owned());
                self.push_global(&module, &name)?;
            }
            b'Q' => {
                let identifier = self.pop()?;
                let storage = self.storage(identifier)?;
                self.arena.storages.push(storage);
                self.stack.push(Value::Storage(self.arena.storages.len() - 1));
            }
            b'R' => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                let value = self.call(function, arguments)?;
                self.stack.push(value);
            }
            // The attributes of an ordered dictionary, `_metadata`: passed over.
            b'b' => drop(self.pop()?),
            other => {
                return Err(Problem::contents(format!(
                    "pickle instruction {other:#04x}, which no file of tensors needs"
                )));
            }
        }
        Ok(())
    }

    fn append(&mut self, values: Vec<Value>) -> Result<(), Problem> {
        match self.top()? {
            Value::List(index) => {
                self.arena.lists[index].extend(values);
                Ok(())
            }
            _ => Err(Problem::contents("it appends to what is no list")),
        }
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), Problem> {
        match self.top()? {
            Value::Dict(index) => {
                let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
                self.arena.dicts[index].extend(pairs);
                Ok(())
            }
            _ => Err(Problem::contents("it sets an item of what is no dictionary")),
        }
    }

    /// A persistent identifier: `("storage", class, key, device, length, ...)`.
    fn storage(&self, identifier: Value) -> Result<StorageRef, Problem> {
        let wrong = || Problem::contents("a reference to something else than a storage");
        let parts = self.arena.sequence(identifier).ok_or_else(wrong)?;
        let [kind, Value::Global(Global::Storage(dtype)), key, _, Value::Int(len), rest @ ..] =
            parts
        else {
            return Err(wrong());
        };
        if self.arena.text(*kind) != Some("storage") {
            return Err(wrong());
        }
        if rest.iter().any(|value| *value != Value::None) {
            return Err(Problem::contents("a view of a storage, as only the oldest files have"));
        }
        let &Value::Text(key) = key else { return Err(wrong()) };
        // It is looked up for each of its tensors.
        if self.arena.texts[key].len() > LONGEST_KEY {
            return Err(Problem::contents("a storage of a name that PyTorch gives none"));
        }
        let len = usize::try_from(*len).map_err(|_| wrong())?;
        Ok(StorageRef { dtype: *dtype, key, len })
    }

    fn call(&mut self, function: Value, arguments: Value) -> Result<Value, Problem> {
        let wrong = || Problem::contents("a call with other arguments than PyTorch gives");
        let Value::Global(global) = function else {
            return Err(Problem::contents("a call of what is no function"));
        };
        let parts = self.arena.sequence(arguments).ok_or_else(wrong)?;
        match (global, parts) {
            (Global::OrderedDict, []) => {
                self.arena.dicts.push(Vec::new());
                Ok(Value::Dict(self.arena.dicts.len() - 1))
            }
            (Global::Size, &[sizes]) => Ok(sizes),
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(*tensor),
            (
                Global::RebuildTensor,
                [Value::Storage(index), Value::Int(offset), shape, strides, ..],
            ) => {
                let tensor = TensorRef {
                    storage: self.arena.storages[*index],
                    offset: usize::try_from(*offset).map_err(|_| wrong())?,
                    shape: self.arena.sizes(*shape).ok_or_else(wrong)?,
                    strides: self.arena.sizes(*strides).ok_or_else(wrong)?,
                };
                self.arena.tensors.push(tensor);
                Ok(Value::Tensor(self.arena.tensors.len() - 1))
            }
            _ => Err(wrong()),
        }
    }
}
