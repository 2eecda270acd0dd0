//! Recipes as people write them: what is read, what is refused and how.

use proptest::prelude::*;
use tinymood_core::{Loss, ModelConfig, Pooling};
use tinymood_train::{
    ClassifierBias, EvaluateEvery, LossRecipe, NAMED_RECIPES, PosWeightRecipe, Recipe,
    RecipeOverrides, ScheduleKind, ThresholdRecipe, TrainSettings,
};

fn settings(text: &str) -> Result<TrainSettings, String> {
    let chain = |error: &dyn std::error::Error| {
        let source = error.source().map(|source| format!(": {source}"));
        format!("{error}{}", source.unwrap_or_default())
    };
    let recipe = Recipe::parse(text, "mine.toml").map_err(|error| chain(&error))?;
    TrainSettings::new(recipe).map_err(|error| chain(&error))
}

#[test]
fn the_named_recipes_are_complete_and_sound() {
    for (name, text) in NAMED_RECIPES {
        let recipe: Recipe = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        TrainSettings::new(recipe).unwrap();
    }
    assert_eq!(Recipe::default(), Recipe::load("default").unwrap());
}

#[test]
fn seed_is_the_recipe_of_old() {
    let recipe = Recipe::load("seed").unwrap();
    let settings = TrainSettings::new(recipe.clone()).unwrap();
    assert_eq!((settings.micro_batch(), settings.rows_in_step()), (16, 16));
    assert_eq!((recipe.epochs, recipe.learning_rate), (4, 2e-5));
    assert_eq!((recipe.schedule, settings.warmup_steps(10_856)), (ScheduleKind::Linear, 0));
    let update = settings.update(1, 2e-5);
    assert_eq!((update.weight_decay, update.max_grad_norm), (0.01, Some(1.0)));
    assert_eq!((update.beta1, update.beta2, update.epsilon), (0.9, 0.999, 1e-8));
    assert_eq!((update.layer_decay, update.ema_decay), (1.0, None));
    assert_eq!((recipe.pooling, recipe.thresholds), (Pooling::Cls, ThresholdRecipe::Fixed(0.5)));
    assert_eq!((settings.loss(), recipe.classifier_bias), (Loss::Bce, ClassifierBias::Zero));
    assert!(!recipe.group_by_length);
}

#[test]
fn a_recipe_survives_its_own_toml() {
    let overrides = RecipeOverrides {
        loss: Some("asymmetric:gamma_negative=3,clip=0".parse().unwrap()),
        pos_weight: Some("1,2.5".parse().unwrap()),
        evaluate_every: Some("200".parse().unwrap()),
        checkpoint_every: Some("50".parse().unwrap()),
        thresholds: Some("global".parse().unwrap()),
        hidden_dropout: Some("0.3".parse().unwrap()),
        attention_dropout: Some("model".parse().unwrap()),
        ..RecipeOverrides::default()
    };
    for name in ["default", "seed"] {
        for overrides in [&RecipeOverrides::default(), &overrides] {
            let recipe = Recipe::named(name).unwrap().with(overrides);
            assert_eq!(Recipe::parse(&recipe.to_toml(), "").unwrap(), recipe);
            assert_eq!(toml::from_str::<Recipe>(&recipe.to_toml()).unwrap(), recipe);
        }
    }
}

#[test]
fn a_file_may_name_only_some_settings() {
    let recipe = Recipe::parse("epochs = 2\nloss = \"focal\"\nthresholds = 0.4", "").unwrap();
    let expected = RecipeOverrides {
        epochs: Some(2),
        loss: Some(LossRecipe::Focal { gamma: 2.0, alpha: None }),
        thresholds: Some(ThresholdRecipe::Fixed(0.4)),
        ..RecipeOverrides::default()
    };
    assert_eq!(recipe, Recipe::default().with(&expected));
    let recipe = Recipe::parse("pos_weight = [1, 2.5]\nevaluate_every = 100", "").unwrap();
    assert_eq!(recipe.pos_weight, PosWeightRecipe::List(vec![1.0, 2.5]));
    assert_eq!(recipe.evaluate_every, EvaluateEvery::Steps(100));
    let recipe = Recipe::parse("loss = { name = \"focal\", alpha = 0.25 }", "").unwrap();
    assert_eq!(recipe.loss, LossRecipe::Focal { gamma: 2.0, alpha: Some(0.25) });
}

#[test]
fn warm_up_is_one_setting_under_two_names() {
    let with = |overrides: RecipeOverrides| Recipe::default().with(&overrides);
    let steps = with(RecipeOverrides { warmup_steps: Some(7), ..RecipeOverrides::default() });
    assert_eq!(TrainSettings::new(steps.clone()).unwrap().warmup_steps(1000), 7);
    let ratio = RecipeOverrides { warmup_ratio: Some(0.101), ..RecipeOverrides::default() };
    assert_eq!(TrainSettings::new(steps.with(&ratio)).unwrap().warmup_steps(100), 11);
    let none = with(RecipeOverrides { warmup_steps: Some(0), ..RecipeOverrides::default() });
    assert_eq!(TrainSettings::new(none).unwrap().warmup_steps(1000), 0);
    assert!(settings("warmup_steps = 3\nwarmup_ratio = 0.1").unwrap_err().contains("warmup_steps"));
}

#[test]
fn dropout_and_pooling_reach_the_model() {
    let settings = settings("pooling = \"mean\"\nattention_dropout = 0.0").unwrap();
    let mut config = ModelConfig::preset("4L-312D").unwrap();
    settings.apply_to(&mut config);
    assert_eq!(config.pooling, Pooling::Mean);
    assert_eq!((config.attention_probs_dropout_prob, config.hidden_dropout_prob), (0.0, 0.2));
    let settings = self::settings("hidden_dropout = \"model\"").unwrap();
    let mut config = ModelConfig::preset("4L-312D").unwrap();
    settings.apply_to(&mut config);
    assert_eq!(config.hidden_dropout_prob, 0.1);
}

#[test]
fn refusals_name_setting_value_and_what_is_expected() {
    for (text, parts) in [
        ("epochs = 0", ["mine.toml:1: ", "\"epochs\" is 0", "from 1"]),
        ("# mine\n\nepochs = 0", ["mine.toml:3: ", "\"epochs\" is 0", "from 1"]),
        (
            "epochs = 1\n[loss]\nname = \"focal\"\ngamma = -1.0",
            ["mine.toml:2: ", "loss.gamma", "-1"],
        ),
        ("learning_rate = -1.0", ["learning_rate", "-1", "from 0 to 10"]),
        ("learning_rate = nan", ["learning_rate", "NaN", "number"]),
        ("learning_rate = 0", ["learning_rate", "0", "above 0"]),
        ("beta2 = 1.0", ["beta2", "1", "below 1"]),
        ("ema_decay = 0.99999999999", ["ema_decay", "0.99999999999", "below 1"]),
        ("max_length = 2", ["max_length", "2", "at least 3"]),
        ("thresholds = 1.5", ["thresholds", "1.5", "from 0 to 1"]),
        ("evaluate_every = 0", ["evaluate_every", "0", "from 1"]),
        ("keep_checkpoints = 0", ["keep_checkpoints", "0", "from 1"]),
        ("pos_weight = [1.0, -2.0]", ["pos_weight", "-2", "from 0"]),
        ("hidden_dropout = 1.0", ["hidden_dropout", "1", "below 1"]),
        ("hidden_dropout = \"none\"", ["mine.toml", "line 1", "\"model\""]),
        ("loss = \"focal\"\nlabel_smoothing = 1.1", ["label_smoothing", "1.1", "from 0 to 1"]),
        ("loss = { name = \"focal\", gamma = -1.0 }", ["loss.gamma", "-1", "from 0"]),
        ("x = 1\n[recipe]\nepochs = 0", ["mine.toml:3: ", "\"epochs\" is 0", "from 1"]),
        // What the TOML reader refuses comes with file and line.
        ("epochs = 1\nlerning_rate = 1.0", ["mine.toml", "line 2", "lerning_rate"]),
        ("epochs = \"four\"", ["mine.toml", "line 1", "four"]),
        ("epochs = -1", ["mine.toml", "line 1", "-1"]),
        ("schedule = \"cubic\"", ["mine.toml", "cubic", "linear"]),
        ("pos_weight = \"lots\"", ["mine.toml", "line 1", "\"auto\""]),
        ("evaluate_every = \"never\"", ["mine.toml", "line 1", "\"epoch\""]),
        ("thresholds = \"best\"", ["mine.toml", "line 1", "per-label"]),
        ("loss = \"hinge\"", ["mine.toml", "hinge", "asymmetric"]),
        ("loss = { name = \"bce\", gamma = 1.0 }", ["mine.toml", "bce", "gamma"]),
        ("metric = \"f1\"", ["mine.toml", "f1", "macro_f1"]),
        ("[[", ["mine.toml", "line 1", ""]),
    ] {
        let error = settings(text).expect_err(text);
        for part in parts {
            assert!(error.contains(part), "{text:?}: no {part:?} in: {error}");
        }
    }
    let error = Recipe::load("no/such/recipe").unwrap_err().to_string();
    assert!(error.contains("no/such/recipe") && error.contains("default, seed"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_a_recipe_or_refused(text in ".{0,200}") {
        let _ = settings(&text);
    }

    /// Known names with any values: whatever passes the checks can be saved and read back.
    #[test]
    fn any_values_are_checked(
        name in prop::sample::select(vec![
            "epochs", "max_steps", "batch_size", "gradient_accumulation", "max_length", "seed",
            "learning_rate", "schedule", "warmup_ratio", "warmup_steps", "beta1", "epsilon",
            "layer_decay", "ema_decay", "loss", "pos_weight", "pos_weight_cap", "pooling",
            "evaluate_every", "metric", "thresholds", "checkpoint_every", "checkpoint_minutes",
            "hidden_dropout", "classifier_bias", "probe_epochs",
        ]),
        value in prop_oneof![
            any::<i64>().prop_map(|value| value.to_string()),
            any::<f64>().prop_map(|value| format!("{value:?}").to_lowercase()),
            "\"[a-z:=,0-9.-]{0,20}\"",
            prop::collection::vec(any::<i32>(), 0..4).prop_map(|list| format!("{list:?}")),
            Just("{ name = \"focal\", gamma = 1e400 }".to_owned()),
            Just("true".to_owned()),
        ],
    ) {
        if let Ok(settings) = settings(&format!("{name} = {value}")) {
            let text = settings.recipe().to_toml();
            prop_assert_eq!(&Recipe::parse(&text, "").unwrap(), settings.recipe());
            let total = settings.total_steps(u64::MAX);
            prop_assert!(settings.warmup_steps(total) <= total.max(settings.recipe().warmup_steps));
            let _ = settings.update(1, 1.0);
        }
    }

    #[test]
    fn words_of_flags_never_panic(text in "[a-z_:=,.0-9 -]{0,40}") {
        let _ = text.parse::<LossRecipe>();
        let _ = text.parse::<PosWeightRecipe>();
        let _ = text.parse::<EvaluateEvery>();
        let _ = text.parse::<ThresholdRecipe>();
        let _ = text.parse::<tinymood_train::DropoutRecipe>();
        let _ = text.parse::<tinymood_train::Metric>();
    }
}

#[test]
fn half_epochs_are_judged_in_the_middle_and_at_the_end() {
    let overrides = RecipeOverrides {
        evaluate_every: Some("half-epoch".parse().unwrap()),
        ..RecipeOverrides::default()
    };
    let settings = TrainSettings::new(Recipe::default().with(&overrides)).unwrap();
    let due = |steps_per_epoch: u64, total: u64| -> Vec<u64> {
        (1..=total).filter(|&step| settings.evaluates_after(step, steps_per_epoch, total)).collect()
    };
    assert_eq!(due(201, 500), [100, 201, 301, 402, 500]);
    // Where half an epoch is short, judging would take longer than training.
    assert_eq!(due(199, 300), [100, 200, 300]);
    assert_eq!(due(5, 213), [100, 200, 213]);
}

#[test]
fn small_data_is_passed_over_more_often_unless_epochs_are_named() {
    let steps = |overrides: RecipeOverrides, steps_per_epoch: u64| {
        let settings = TrainSettings::new(Recipe::default().with(&overrides)).unwrap();
        settings.total_steps(steps_per_epoch)
    };
    assert_eq!(steps(RecipeOverrides::default(), 29), Recipe::default().min_steps);
    assert_eq!(steps(RecipeOverrides::default(), 1357), 5 * 1357);
    let epochs = |epochs| RecipeOverrides { epochs: Some(epochs), ..RecipeOverrides::default() };
    assert_eq!(steps(epochs(2), 29), 58);
    let both = RecipeOverrides { min_steps: Some(70), ..epochs(2) };
    assert_eq!(steps(both.clone(), 29), 70);
    assert_eq!(steps(RecipeOverrides { max_steps: Some(10), ..both }, 29), 10);
}

#[test]
fn what_a_file_leaves_out_is_as_in_the_recipe_beneath() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "epochs = 1").unwrap();
    let path = file.path().to_str().unwrap();
    let beneath = Recipe::named("distill").unwrap();
    let found = beneath.clone().load_over(path).unwrap();
    assert_eq!(found, Recipe { epochs: 1, min_steps: 0, ..beneath });
    assert_eq!(Recipe::load(path).unwrap().batch_size, Recipe::default().batch_size);
}

#[test]
fn an_average_soon_forgets_where_it_began() {
    let decay = |step| {
        let recipe = Recipe { ema_decay: 0.99, ..Recipe::default() };
        TrainSettings::new(recipe).unwrap().update(step, 1e-4).ema_decay.unwrap()
    };
    assert_eq!([decay(1), decay(10), decay(1000)], [2.0 / 11.0, 0.55, 0.99]);
    // What is left of its first value after an epoch of a few hundred steps.
    let left: f32 = (1..=300).map(decay).product();
    assert!(left < 1e-9, "{left}");
}
