//! What columns are usually called, in lower case: by such names a header is told from a row.

/// Columns of labels.
pub(crate) const LABELS: [&str; 15] = [
    "label",
    "labels",
    "emotion",
    "emotions",
    "sentiment",
    "category",
    "categories",
    "class",
    "classes",
    "target",
    "targets",
    "tag",
    "tags",
    "topic",
    "intent",
];

/// Columns of texts.
pub(crate) const TEXTS: [&str; 12] = [
    "text",
    "texts",
    "tweet",
    "tweets",
    "sentence",
    "sentences",
    "comment",
    "comments",
    "review",
    "message",
    "content",
    "body",
];

/// Columns of neither.
pub(crate) const OTHERS: [&str; 9] =
    ["id", "ids", "index", "idx", "row", "date", "user", "author", "title"];

/// Whether a label is more likely the name of a column: of labels, or of texts by the names that no label has.
pub(crate) fn is_no_label(name: &str) -> bool {
    LABELS.contains(&name) || ["text", "tweet"].contains(&name)
}
