//! Parameter names from many hands made those of `transformers.BertForSequenceClassification`.

/// Wrappers that training frameworks put before every name.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// What a bare encoder's names start with (`transformers.BertModel`, MiniLM).
const BARE: [&str; 3] = ["embeddings.", "encoder.", "pooler."];

/// The name that `transformers` gives the parameter today: wrappers gone, `bert.` before a bare
/// encoder's names, `gamma` and `beta` of TensorFlow's days now `weight` and `bias`.
pub fn canonical_name(name: &str) -> String {
    let mut rest = name;
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| rest.strip_prefix(wrapper)) {
        rest = inner;
    }
    let mut canonical = String::with_capacity(rest.len() + 5);
    if BARE.iter().any(|start| rest.starts_with(start)) {
        canonical.push_str("bert.");
    }
    match (rest.strip_suffix(".gamma"), rest.strip_suffix(".beta")) {
        (Some(stem), _) => canonical.extend([stem, ".weight"]),
        (_, Some(stem)) => canonical.extend([stem, ".bias"]),
        _ => canonical.push_str(rest),
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_hands_one_name() {
        let expected = "bert.embeddings.LayerNorm.weight";
        for name in [
            "bert.embeddings.LayerNorm.weight",
            "embeddings.LayerNorm.weight",
            "bert.embeddings.LayerNorm.gamma",
            "module.bert.embeddings.LayerNorm.gamma",
            "module.model.embeddings.LayerNorm.weight",
        ] {
            assert_eq!(canonical_name(name), expected, "{name}");
        }
        assert_eq!(canonical_name("embeddings.LayerNorm.beta"), "bert.embeddings.LayerNorm.bias");
        assert_eq!(canonical_name("cls.predictions.bias"), "cls.predictions.bias");
        assert_eq!(canonical_name("classifier.weight"), "classifier.weight");
        assert_eq!(canonical_name(""), "");
    }
}
