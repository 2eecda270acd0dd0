//! `tinymood tune`: thresholds for a model, tuned on a labelled split and saved with it.

use anyhow::Context;
use serde_json::json;
use tinymood_eval::{Evaluation, Objective, ThresholdPolicy, Thresholds, cross_validated};
use tinymood_weights::durable;

use super::evaluate::Judged;
use super::{print, print_json};
use crate::args::{GlobalArgs, ObjectiveArg, PolicyArg, TuneArgs};
use crate::model::Model;

pub(super) fn run(args: TuneArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let model = Model::open(args.model.model.as_deref(), global)?;
    let judged = Judged::new(&model, &args.dataset, args.split, global)?;
    let predictions = judged.predictions()?;
    let policy = match args.policy {
        PolicyArg::PerLabel => ThresholdPolicy::PerLabel,
        PolicyArg::Global => ThresholdPolicy::Global,
    };
    let objective = match args.objective {
        ObjectiveArg::MicroF1 => Objective::MicroF1,
        ObjectiveArg::MacroF1 => Objective::MacroF1,
    };
    let thresholds = Thresholds::tune(policy, objective, &predictions, &judged.split);
    let evaluation = Evaluation::new(&predictions, &thresholds, &model.labels, &judged.split, 0);
    let unseen = cross_validated(policy, objective, &predictions);
    if args.json {
        let mut document = thresholds.to_json(&model.labels);
        document["evaluation"] = evaluation.to_json();
        document["cross_validated"] = json!(unseen);
        document["saved"] = json!(!args.dry_run);
        print_json(&document)?;
    } else {
        let mut text = format!("{}\n", evaluation.table());
        if let Some(unseen) = unseen {
            text += &format!(
                "cross-validated (tuned on one half, judged on the other): micro_f1 {:.3}, \
                 macro_f1 {:.3}\n",
                unseen.micro_f1, unseen.macro_f1
            );
        }
        print(&text)?;
    }
    if !args.dry_run {
        let path = model.path.join("thresholds.json");
        let text = format!("{:#}\n", thresholds.to_json(&model.labels));
        durable::write_file(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        if !global.quiet {
            eprintln!("saved: {}", path.display());
        }
    }
    Ok(())
}
