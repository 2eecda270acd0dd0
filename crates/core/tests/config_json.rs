//! Fields of `config.json` against what `transformers` makes of them (`reference/config.py`): what changes its logits
//! is read as such or refused by name, and what changes nothing is passed over.

use serde_json::Value;
use tinymood_core::ModelConfig;

/// Refused although `transformers` passes over them: the maker of such a model meant another computation.
const STRICTER: [&str; 4] =
    ["pruned_heads", "embedding_size", "position_embedding_type", "auto_map"];

#[test]
fn every_field_means_what_it_means_to_transformers() {
    let golden: Value = serde_json::from_str(include_str!("../../../goldens/config.json")).unwrap();
    let plain = &golden["config"];
    let expected = ModelConfig::from_json(&plain.to_string()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 55);
    let mut refused = Vec::new();
    for case in cases {
        let fields = case["fields"].as_object().unwrap();
        let mut config = plain.as_object().unwrap().clone();
        for (name, value) in fields {
            match value["absent"] == true {
                true => drop(config.shift_remove(name)),
                false => drop(config.insert(name.clone(), value.clone())),
            }
        }
        let found = ModelConfig::from_json(&Value::Object(config).to_string());
        // The id of [PAD] is kept for files: padding never happens.
        let pad_token_id = expected.pad_token_id;
        let found = found.map(|found| ModelConfig { pad_token_id, ..found });
        match (case["transformers"].as_str().unwrap(), found) {
            ("same", Ok(found)) => assert_eq!(found, expected, "{case}"),
            ("other", Ok(found)) => assert_ne!(found, expected, "{case}"),
            ("error", Ok(_)) => panic!("{case} is read"),
            (outcome, Err(error)) => {
                let error = error.to_string();
                let field = fields.keys().find(|name| error.contains(&format!("{name:?}")));
                let field = field.unwrap_or_else(|| panic!("{case}: {error}"));
                if outcome == "same" {
                    assert!(STRICTER.contains(&field.as_str()), "{case}: {error}");
                }
                refused.push(field);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(STRICTER.iter().all(|field| refused.iter().any(|it| *it == field)), "{refused:?}");
}
