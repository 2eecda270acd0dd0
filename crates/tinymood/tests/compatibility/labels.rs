//! Labels of datasets: names, ids, multi-hot vectors, soft targets.
