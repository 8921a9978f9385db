//! Verdict: what check mode reports of each root, a line each, to whoever started it.

use core::fmt;

/// What is being done with a root: if the program dies, it died of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The thawed value is being compared with itself.
    Itself,
    /// The root's expression is being evaluated again.
    Evaluating,
    /// The two values are being compared.
    Comparing,
}

impl Stage {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Itself, "itself"), (Self::Evaluating, "evaluating"), (Self::Comparing, "comparing")];

    /// For people: what the program was doing.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Itself => "while the thawed value was compared with itself",
            Self::Evaluating => "while its expression was evaluated again",
            Self::Comparing => "while the thawed value was compared with a fresh one",
        }
    }
}

/// A line of a report. Names and messages hold no line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The root with this name is being evaluated again and compared.
    Begin(&'a str),
    /// The root of the line before has come to this.
    Stage(Stage),
    /// It is equal to what was thawed.
    Equal(&'a str),
    /// It is not.
    Different(&'a str),
    /// Its type has no `PartialEq`, and nobody said how to compare it.
    NotComparable(&'a str),
    /// Its expression or the comparison panicked.
    Panicked {
        /// Its name.
        root: &'a str,
        /// What the panic said.
        message: &'a str,
    },
    /// There is nothing to compare: why the program started cold.
    Cold(&'a str),
    /// All roots were compared.
    End,
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(root) => write!(f, "begin {root}"),
            Self::Stage(stage) => {
                let name = Stage::ALL.into_iter().find(|(known, _)| known == stage).map_or("", |(_, name)| name);
                write!(f, "stage {name}")
            }
            Self::Equal(root) => write!(f, "equal {root}"),
            Self::Different(root) => write!(f, "different {root}"),
            Self::NotComparable(root) => write!(f, "not-comparable {root}"),
            Self::Panicked { root, message } => write!(f, "panicked {root} {message}"),
            Self::Cold(reason) => write!(f, "cold {reason}"),
            Self::End => f.write_str("end"),
        }
    }
}

impl<'a> Verdict<'a> {
    /// Reads a line; `None` when it is of another form, as the last one of a process that died can be.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "begin" => Self::Begin(rest),
            "stage" => Self::Stage(Stage::ALL.into_iter().find(|(_, name)| *name == rest)?.0),
            "equal" => Self::Equal(rest),
            "different" => Self::Different(rest),
            "not-comparable" => Self::NotComparable(rest),
            "panicked" => {
                let (root, message) = rest.split_once(' ').unwrap_or((rest, ""));
                Self::Panicked { root, message }
            }
            "cold" => Self::Cold(rest),
            "end" => Self::End,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_survives_the_journey() {
        let root = "a::ROOT";
        for verdict in [
            Verdict::Begin(root),
            Verdict::Stage(Stage::Itself),
            Verdict::Stage(Stage::Evaluating),
            Verdict::Stage(Stage::Comparing),
            Verdict::Equal(root),
            Verdict::Different(root),
            Verdict::NotComparable(root),
            Verdict::Panicked { root, message: "set twice" },
            Verdict::Cold("no such file"),
            Verdict::End,
        ] {
            assert_eq!(Verdict::parse(&verdict.to_string()), Some(verdict));
        }
        assert_eq!(Verdict::parse("equ"), None);
    }
}
