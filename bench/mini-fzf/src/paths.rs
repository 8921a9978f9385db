//! The list: the lines of a file, or made-up paths that are the same in every run.

/// How many paths are made up.
const COUNT: usize = 1_000_000;

/// The lines of the file that `MINI_FZF_INPUT` names, or a million made-up paths.
///
/// # Panics
/// If that file cannot be read. The list is the program: without it there is nothing to do.
pub(crate) fn list() -> Vec<String> {
    match std::env::var_os("MINI_FZF_INPUT") {
        None => made_up(COUNT),
        Some(file) => match std::fs::read_to_string(&file) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) => panic!("cannot read `{}`, named by MINI_FZF_INPUT: {error}", file.display()),
        },
    }
}

const FOLDERS: [&str; 48] = [
    "kernel",
    "drivers",
    "network",
    "filesystems",
    "memory",
    "scheduler",
    "include",
    "generated",
    "documentation",
    "examples",
    "integration",
    "platform",
    "runtime",
    "compiler",
    "frontend",
    "backend",
    "analysis",
    "protocol",
    "storage",
    "transport",
    "security",
    "graphics",
    "rendering",
    "interface",
    "services",
    "components",
    "templates",
    "resources",
    "translations",
    "benchmarks",
    "fixtures",
    "snapshots",
    "migrations",
    "database",
    "controllers",
    "middleware",
    "extensions",
    "packages",
    "libraries",
    "vendor",
    "toolchain",
    "configuration",
    "deployment",
    "monitoring",
    "telemetry",
    "experiments",
    "prototypes",
    "archive",
];

const STEMS: [&str; 32] = [
    "parser",
    "lexer",
    "index",
    "cache",
    "buffer",
    "channel",
    "session",
    "request",
    "response",
    "handler",
    "registry",
    "allocator",
    "iterator",
    "pipeline",
    "snapshot",
    "manifest",
    "resolver",
    "formatter",
    "serializer",
    "listener",
    "dispatcher",
    "connection",
    "transaction",
    "permission",
    "descriptor",
    "interrupt",
    "firmware",
    "checksum",
    "directory",
    "namespace",
    "signature",
    "certificate",
];

const ENDINGS: [&str; 12] = ["rs", "c", "h", "toml", "md", "json", "yaml", "py", "ts", "html", "sql", "txt"];

pub(crate) fn made_up(count: usize) -> Vec<String> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    // One buffer for all of them, and every path copied out of it at its final size: no allocation is made twice.
    let mut path = String::with_capacity(256);
    let mut paths = Vec::with_capacity(count);
    for _ in 0..count {
        path.clear();
        for _ in 0..3 + numbers.below(4) {
            path.push_str(numbers.one_of(&FOLDERS));
            path.push('/');
        }
        path.push_str(numbers.one_of(&STEMS));
        path.push('_');
        path.push_str(numbers.one_of(&STEMS));
        for _ in 0..2 {
            path.push(char::from(b'0' + numbers.below(10) as u8));
        }
        path.push('.');
        path.push_str(numbers.one_of(&ENDINGS));
        paths.push(path.as_str().to_owned());
    }
    paths
}

/// Pseudo-random numbers: Marsaglia's xorshift with 64 bits of state.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The high half times `end`: no division, and no bias that a list of paths would notice.
        (((self.0 >> 32) * end as u64) >> 32) as usize
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_same_every_time() {
        assert_eq!(made_up(1000), made_up(1000));
    }

    #[test]
    fn a_million_paths_take_about_91_megabytes() {
        let paths = made_up(COUNT);
        let bytes = paths.capacity() * size_of::<String>() + paths.iter().map(String::capacity).sum::<usize>();
        assert!((90_000_000..92_500_000).contains(&bytes), "{bytes}");
    }
}
