//! On which machine a run takes place, in words, for the log.

/// `Intel Xeon …, 8 cores, linux x86_64`: the processor's name where the system tells it.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let cores = format!("{cores} core{}", if cores == 1 { "" } else { "s" });
    match std::fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(processor) {
        Some(name) => format!("{name}, {cores}, {system}"),
        None => format!("{cores}, {system}"),
    }
}

/// The processor's name in Linux's `/proc/cpuinfo`.
fn processor(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_is_named() {
        let text = "processor\t: 0\nmodel name\t: A  Chip (R)\nmodel name\t: Another\n";
        assert_eq!(processor(text).as_deref(), Some("A Chip (R)"));
        assert_eq!(processor("processor\t: 0\n"), None);
        assert_eq!(processor("model name\t:\n"), None);
        assert!(machine().contains(std::env::consts::ARCH));
    }
}
